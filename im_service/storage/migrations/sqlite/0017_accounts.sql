-- What becomes of an account. state: 0 lives, 1 deleted, 2 being erased, 3 erased. created_ms: when the application's
-- server made it; 0: somebody named it, and nobody made it.
ALTER TABLE account_state ADD COLUMN state INTEGER NOT NULL DEFAULT 0;
ALTER TABLE account_state ADD COLUMN created_ms INTEGER NOT NULL DEFAULT 0;
-- Erasures: how far each is (step, and the place in it), what it removed so far, its receipt when it is done.
-- holder, until_ms: the process that works at it.
CREATE TABLE erasure (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    usr INTEGER NOT NULL,
    asked_ms INTEGER NOT NULL,
    done_ms INTEGER NOT NULL DEFAULT 0,
    step INTEGER NOT NULL DEFAULT 0,
    place TEXT NOT NULL DEFAULT '',
    counts BLOB NOT NULL DEFAULT x'',
    receipt BLOB NOT NULL DEFAULT x'',
    holder INTEGER NOT NULL DEFAULT 0,
    until_ms INTEGER NOT NULL DEFAULT 0
);
CREATE INDEX erasure_usr ON erasure (usr, id);
CREATE INDEX erasure_open ON erasure (id) WHERE done_ms = 0;
-- Ways to what others have of one user.
CREATE INDEX relation_of ON relation (other);
CREATE INDEX request_by ON request (asker);
CREATE INDEX room_member_usr ON room_member (usr);
CREATE INDEX room_queue_owner ON room_queue (owner);
CREATE INDEX reaction_usr ON reaction (usr);
CREATE INDEX report_usr ON report (usr);
