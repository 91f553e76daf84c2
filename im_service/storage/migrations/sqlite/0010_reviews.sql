-- What people decide about: messages that are held (kind 0, hidden until then) or reported (kind 1).
-- state: 0 open, 1 passed, 2 refused, 3 gone before anybody decided. bits: of the message, once it is released.
-- lapse: the verdict at until_ms (0 = none comes by itself).
CREATE TABLE review (
    id INTEGER PRIMARY KEY,
    conv INTEGER NOT NULL,
    seq INTEGER NOT NULL,
    kind INTEGER NOT NULL,
    state INTEGER NOT NULL DEFAULT 0,
    bits INTEGER NOT NULL,
    rule TEXT NOT NULL,
    reports INTEGER NOT NULL DEFAULT 0,
    time_ms INTEGER NOT NULL,
    until_ms INTEGER NOT NULL,
    lapse INTEGER NOT NULL,
    decided_ms INTEGER NOT NULL DEFAULT 0,
    decided_by TEXT NOT NULL DEFAULT '',
    assignee TEXT NOT NULL DEFAULT '',
    note TEXT NOT NULL DEFAULT ''
);
CREATE UNIQUE INDEX review_message ON review (conv, seq);
CREATE INDEX review_open ON review (id) WHERE state = 0;
CREATE INDEX review_due ON review (until_ms) WHERE state = 0 AND until_ms > 0;

CREATE TABLE report (
    conv INTEGER NOT NULL,
    seq INTEGER NOT NULL,
    usr INTEGER NOT NULL,
    category TEXT NOT NULL,
    text TEXT NOT NULL,
    time_ms INTEGER NOT NULL,
    PRIMARY KEY (conv, seq, usr)
) WITHOUT ROWID;

-- how often people let pass and refused what a rule had held or others had reported
CREATE TABLE rule_verdict (
    rule TEXT NOT NULL,
    state INTEGER NOT NULL,
    lapsed INTEGER NOT NULL,
    decisions INTEGER NOT NULL,
    PRIMARY KEY (rule, state, lapsed)
) WITHOUT ROWID;

-- by which a repeated send is known; a table of its own on PostgreSQL
CREATE VIEW send_key AS SELECT sender, client_id, conv, digest, server_id, seq, time_ms FROM message;
