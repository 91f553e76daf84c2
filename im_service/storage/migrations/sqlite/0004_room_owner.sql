CREATE INDEX room_owner ON room (owner);
