-- The durable copy: what happens beside the log, in one order with it. pos: the last row of the log before it.
CREATE TABLE event (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    pos INTEGER NOT NULL,
    server_id INTEGER NOT NULL,
    time_ms INTEGER NOT NULL,
    kind TEXT NOT NULL,
    subject TEXT NOT NULL,
    env TEXT NOT NULL,
    data BLOB NOT NULL
);
-- Cursors that are kept for consumers.
CREATE TABLE event_group (
    name TEXT PRIMARY KEY,
    cursor TEXT NOT NULL,
    revision INTEGER NOT NULL,
    committed_ms INTEGER NOT NULL
) WITHOUT ROWID;
-- The highest numbers whose rows expired: whoever was not there yet missed something.
INSERT INTO meta VALUES ('gone_message', 0), ('gone_event', 0);
-- Up to where a life of the store took over the rows of the one before it; a cursor of that one is good up to there.
ALTER TABLE incarnation ADD COLUMN message_end INTEGER NOT NULL DEFAULT 0;
ALTER TABLE incarnation ADD COLUMN event_end INTEGER NOT NULL DEFAULT 0;
