-- Events that an endpoint of the copy did not take: where they lie in the log, not what they say.
CREATE TABLE dead_letter (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    endpoint TEXT NOT NULL,
    event_id TEXT NOT NULL,
    kind TEXT NOT NULL,
    subject TEXT NOT NULL,
    before TEXT NOT NULL,
    reason TEXT NOT NULL,
    time_ms INTEGER NOT NULL,
    UNIQUE (endpoint, event_id)
);
CREATE INDEX dead_letter_numbers ON dead_letter (endpoint, id);
