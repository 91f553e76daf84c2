-- A way to the groups that somebody has left, among all conversations.
CREATE INDEX inbox_left ON inbox (usr, conv) WHERE active = 0;
