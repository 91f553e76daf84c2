-- Every life of this store; the last one is the present. origin: where it lay, '' = wherever it is found next.
CREATE TABLE incarnation (
    number INTEGER PRIMARY KEY,
    id BLOB NOT NULL,
    origin TEXT NOT NULL,
    made_ms INTEGER NOT NULL
);
