-- The durable copy: what happens beside the log. Both are numbered from one sequence, so they have one order.
-- pos: the row's own number, but the last row of the log before it in rows that came from SQLite.
CREATE TABLE event (
    id BIGINT PRIMARY KEY DEFAULT nextval('message_id_seq'),
    pos BIGINT NOT NULL,
    server_id BIGINT NOT NULL,
    time_ms BIGINT NOT NULL,
    kind TEXT COLLATE "C" NOT NULL,
    subject TEXT COLLATE "C" NOT NULL,
    env TEXT COLLATE "C" NOT NULL,
    data BYTEA NOT NULL
);
-- Cursors that are kept for consumers.
CREATE TABLE event_group (
    name TEXT COLLATE "C" PRIMARY KEY,
    cursor TEXT COLLATE "C" NOT NULL,
    revision BIGINT NOT NULL,
    committed_ms BIGINT NOT NULL
);
-- The highest numbers whose rows expired: whoever was not there yet missed something.
INSERT INTO meta VALUES ('gone_message', 0), ('gone_event', 0);
-- Up to where a life of the store took over the rows of the one before it; a cursor of that one is good up to there.
ALTER TABLE incarnation ADD COLUMN message_end BIGINT NOT NULL DEFAULT 0;
ALTER TABLE incarnation ADD COLUMN event_end BIGINT NOT NULL DEFAULT 0;
