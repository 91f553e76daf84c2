-- What a reader keeps beside its cursor for the next one under its name: at most 16 KiB, written with it.
ALTER TABLE event_group ADD COLUMN note BLOB NOT NULL DEFAULT x'';
