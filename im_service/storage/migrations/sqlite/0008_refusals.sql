-- Ways to what was refused, to what somebody asked others, to groups that ended, to relations that are no friendships.
CREATE INDEX request_refused ON request (scope, kind, usr, time_ms) WHERE state = 2;
CREATE INDEX request_asker ON request (scope, asker) WHERE state = 0;
CREATE INDEX chat_group_gone ON chat_group (owner, dismissed_ms) WHERE dismissed_ms > 0;
CREATE INDEX relation_other ON relation (owner, change) WHERE friend = 0;
CREATE INDEX request_ended ON request (scope, kind, usr, time_ms) WHERE state = -1;
