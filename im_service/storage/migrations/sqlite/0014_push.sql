-- where a device is told of what came while it was away: one token a device
CREATE TABLE push_token (
    usr INTEGER NOT NULL,
    device TEXT NOT NULL,
    vendor TEXT NOT NULL,
    app TEXT NOT NULL,
    token TEXT NOT NULL,
    locale TEXT NOT NULL,
    time_ms INTEGER NOT NULL,
    PRIMARY KEY (usr, device)
) WITHOUT ROWID;
CREATE INDEX push_token_token ON push_token (token);

-- what a user says of pushes: quiet hours and the like
CREATE TABLE push_rules (
    usr INTEGER PRIMARY KEY,
    rules BLOB NOT NULL
);
