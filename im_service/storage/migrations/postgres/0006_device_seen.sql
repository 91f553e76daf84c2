-- The latest devices of a user, and the oldest, without reading the others.
CREATE INDEX device_seen ON device (usr, last_login_ms);
