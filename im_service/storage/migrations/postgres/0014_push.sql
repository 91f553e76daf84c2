-- where a device is told of what came while it was away: one token a device
CREATE TABLE push_token (
    usr BIGINT NOT NULL,
    device TEXT COLLATE "C" NOT NULL,
    vendor TEXT COLLATE "C" NOT NULL,
    app TEXT COLLATE "C" NOT NULL,
    token TEXT COLLATE "C" NOT NULL,
    locale TEXT COLLATE "C" NOT NULL,
    time_ms BIGINT NOT NULL,
    PRIMARY KEY (usr, device)
);
CREATE INDEX push_token_token ON push_token (token);

-- what a user says of pushes: quiet hours and the like
CREATE TABLE push_rules (
    usr BIGINT PRIMARY KEY,
    rules BYTEA NOT NULL
);
