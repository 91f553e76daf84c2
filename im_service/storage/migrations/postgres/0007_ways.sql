-- Ways to a few rows among the many that time and other people make.
CREATE INDEX group_member_usr ON group_member (usr, conv);
CREATE INDEX relation_friend ON relation (owner) WHERE friend = 1;
CREATE INDEX request_open_scope ON request (scope, id) WHERE state = 0;
DROP INDEX room_owner;
CREATE INDEX room_owned ON room (owner, closed, created_ms);
