-- Answers under an Idempotency-Key get a number that is never given twice: the ticket of whoever does the
-- request, and the age by which the oldest go. Nothing ever wrote to the table before.
DROP TABLE idempotency;
CREATE TABLE idempotency (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    key TEXT NOT NULL UNIQUE,
    digest BLOB NOT NULL,
    status INTEGER NOT NULL DEFAULT 0,
    body BLOB NOT NULL DEFAULT x'',
    expires_ms INTEGER NOT NULL
);
CREATE INDEX idempotency_expires ON idempotency (expires_ms);
