"""The way of a message from SEND to its acknowledgement: resolve, check, judge, commit, deliver."""
