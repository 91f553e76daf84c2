-- Names are interned: rows refer to users (usr, sender, owner ...) and conversations (conv) by number.

CREATE TABLE meta (key TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
INSERT INTO meta VALUES ('change', 0), ('swept_short', 0), ('swept_long', 0);

CREATE TABLE account (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE);

CREATE TABLE account_state (
    usr INTEGER PRIMARY KEY,
    disabled_ms INTEGER NOT NULL DEFAULT 0,
    mute_single_ms INTEGER NOT NULL DEFAULT 0,
    mute_group_ms INTEGER NOT NULL DEFAULT 0,
    mute_room_ms INTEGER NOT NULL DEFAULT 0,
    info BLOB NOT NULL DEFAULT x'',
    updated_ms INTEGER NOT NULL
);

CREATE TABLE profile (
    usr INTEGER PRIMARY KEY,
    info BLOB NOT NULL,
    rev INTEGER NOT NULL,
    time_ms INTEGER NOT NULL
);

-- change: number of the last transaction that changed anything all its people must hear of
CREATE TABLE conversation (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    last_seq INTEGER NOT NULL DEFAULT 0,
    last_time_ms INTEGER NOT NULL DEFAULT 0,
    change INTEGER NOT NULL DEFAULT 0
);

-- the log: appended in rowid order, whatever the conversation
CREATE TABLE message (
    id INTEGER PRIMARY KEY,
    conv INTEGER NOT NULL,
    seq INTEGER NOT NULL,
    sender INTEGER NOT NULL,
    client_id TEXT NOT NULL,
    digest BLOB NOT NULL,
    server_id INTEGER NOT NULL,
    time_ms INTEGER NOT NULL,
    type INTEGER NOT NULL,
    bits INTEGER NOT NULL,
    flags INTEGER NOT NULL,
    expires_ms INTEGER NOT NULL,
    target BLOB,
    payload BLOB NOT NULL
);
CREATE UNIQUE INDEX message_seq ON message (conv, seq);
CREATE UNIQUE INDEX message_client ON message (sender, client_id);
CREATE INDEX message_target ON message (conv, seq) WHERE target IS NOT NULL;
CREATE INDEX message_expires ON message (expires_ms) WHERE expires_ms > 0;

CREATE TABLE message_version (
    conv INTEGER NOT NULL,
    seq INTEGER NOT NULL,
    version INTEGER NOT NULL,
    editor INTEGER NOT NULL,
    time_ms INTEGER NOT NULL,
    payload BLOB NOT NULL,
    PRIMARY KEY (conv, seq, version)
) WITHOUT ROWID;

CREATE TABLE reaction (
    conv INTEGER NOT NULL,
    seq INTEGER NOT NULL,
    usr INTEGER NOT NULL,
    kind TEXT NOT NULL,
    ext TEXT NOT NULL,
    time_ms INTEGER NOT NULL,
    PRIMARY KEY (conv, seq, usr, kind)
) WITHOUT ROWID;

CREATE TABLE receipt (
    conv INTEGER NOT NULL,
    seq INTEGER NOT NULL,
    usr INTEGER NOT NULL,
    time_ms INTEGER NOT NULL,
    PRIMARY KEY (conv, seq, usr)
) WITHOUT ROWID;

CREATE TABLE hidden (
    usr INTEGER NOT NULL,
    conv INTEGER NOT NULL,
    seq INTEGER NOT NULL,
    PRIMARY KEY (usr, conv, seq)
) WITHOUT ROWID;

-- a conversation as one user holds it; not active: left, nothing after until_seq is his
CREATE TABLE inbox (
    usr INTEGER NOT NULL,
    conv INTEGER NOT NULL,
    join_seq INTEGER NOT NULL DEFAULT 0,
    min_seq INTEGER NOT NULL DEFAULT 1,
    until_seq INTEGER NOT NULL DEFAULT 0,
    read_seq INTEGER NOT NULL DEFAULT 0,
    active INTEGER NOT NULL DEFAULT 1,
    settings BLOB NOT NULL DEFAULT x'',
    change INTEGER NOT NULL,
    PRIMARY KEY (usr, conv)
) WITHOUT ROWID;

CREATE TABLE device (
    usr INTEGER NOT NULL,
    name TEXT NOT NULL,
    number INTEGER NOT NULL,
    platform INTEGER NOT NULL,
    session_id INTEGER NOT NULL,
    online INTEGER NOT NULL,
    first_login_ms INTEGER NOT NULL,
    last_login_ms INTEGER NOT NULL,
    last_logout_ms INTEGER NOT NULL DEFAULT 0,
    info BLOB NOT NULL,
    PRIMARY KEY (usr, name)
) WITHOUT ROWID;

-- delivery watermark of a device
CREATE TABLE device_mark (
    usr INTEGER NOT NULL,
    number INTEGER NOT NULL,
    conv INTEGER NOT NULL,
    acked_seq INTEGER NOT NULL,
    PRIMARY KEY (usr, number, conv)
) WITHOUT ROWID;

CREATE TABLE chat_group (
    conv INTEGER PRIMARY KEY,
    owner INTEGER NOT NULL,
    info BLOB NOT NULL,
    member_limit INTEGER NOT NULL,
    member_count INTEGER NOT NULL,
    mute_all INTEGER NOT NULL DEFAULT 0,
    rev INTEGER NOT NULL DEFAULT 1,
    created_ms INTEGER NOT NULL,
    dismissed_ms INTEGER NOT NULL DEFAULT 0
);

CREATE TABLE group_member (
    conv INTEGER NOT NULL,
    usr INTEGER NOT NULL,
    role INTEGER NOT NULL,
    nick TEXT NOT NULL DEFAULT '',
    ext BLOB NOT NULL DEFAULT x'',
    muted_ms INTEGER NOT NULL DEFAULT 0,
    joined_ms INTEGER NOT NULL,
    joined_seq INTEGER NOT NULL,
    PRIMARY KEY (conv, usr)
) WITHOUT ROWID;

CREATE TABLE request (
    id INTEGER PRIMARY KEY,
    scope TEXT NOT NULL,
    kind INTEGER NOT NULL,
    usr INTEGER NOT NULL,
    asker INTEGER NOT NULL,
    text TEXT NOT NULL,
    state INTEGER NOT NULL DEFAULT 0,
    time_ms INTEGER NOT NULL
);
CREATE UNIQUE INDEX request_open ON request (scope, kind, usr) WHERE state = 0;
CREATE INDEX request_scope ON request (scope, id);
CREATE INDEX request_usr ON request (usr, id);

CREATE TABLE relation (
    owner INTEGER NOT NULL,
    other INTEGER NOT NULL,
    friend INTEGER NOT NULL DEFAULT 0,
    black INTEGER NOT NULL DEFAULT 0,
    muted INTEGER NOT NULL DEFAULT 0,
    alias TEXT NOT NULL DEFAULT '',
    ext BLOB NOT NULL DEFAULT x'',
    time_ms INTEGER NOT NULL,
    change INTEGER NOT NULL,
    PRIMARY KEY (owner, other)
) WITHOUT ROWID;
CREATE INDEX relation_change ON relation (owner, change);

CREATE TABLE room (
    conv INTEGER PRIMARY KEY,
    owner INTEGER NOT NULL,
    info BLOB NOT NULL,
    mute_all INTEGER NOT NULL DEFAULT 0,
    closed INTEGER NOT NULL DEFAULT 0,
    rev INTEGER NOT NULL DEFAULT 1,
    created_ms INTEGER NOT NULL
);

CREATE TABLE room_member (
    conv INTEGER NOT NULL,
    usr INTEGER NOT NULL,
    role INTEGER NOT NULL DEFAULT 0,
    named INTEGER NOT NULL DEFAULT 0,
    black INTEGER NOT NULL DEFAULT 0,
    muted_ms INTEGER NOT NULL DEFAULT 0,
    info BLOB NOT NULL DEFAULT x'',
    PRIMARY KEY (conv, usr)
) WITHOUT ROWID;

CREATE TABLE room_tag_mute (
    conv INTEGER NOT NULL,
    tag TEXT NOT NULL,
    until_ms INTEGER NOT NULL,
    PRIMARY KEY (conv, tag)
) WITHOUT ROWID;

CREATE TABLE room_queue (
    conv INTEGER NOT NULL,
    key TEXT NOT NULL,
    pos INTEGER NOT NULL,
    value TEXT NOT NULL,
    owner INTEGER NOT NULL,
    transient INTEGER NOT NULL,
    PRIMARY KEY (conv, key)
) WITHOUT ROWID;
CREATE INDEX room_queue_pos ON room_queue (conv, pos);

CREATE TABLE broadcast (
    id INTEGER PRIMARY KEY,
    payload BLOB NOT NULL,
    platforms INTEGER NOT NULL,
    created_ms INTEGER NOT NULL,
    expires_ms INTEGER NOT NULL
);

CREATE TABLE idempotency (
    key TEXT PRIMARY KEY,
    digest BLOB NOT NULL,
    status INTEGER NOT NULL DEFAULT 0,
    body BLOB NOT NULL DEFAULT x'',
    expires_ms INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX idempotency_expires ON idempotency (expires_ms);
