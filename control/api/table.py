"""The routes of /v1 that are one method of the message service each. `{me}` is the user the server acts
for.
"""

from __future__ import annotations

from control.api.cloud_events import CLOUD_EVENTS
from control.api.operations import Operation

MESSAGES = (
    Operation("POST", "/messages", "message.send", "messages", "messages"),
    Operation("POST", "/messages/batch", "message.batch", "messages", "messages"),
    Operation("POST", "/broadcasts", "broadcast", "messages", "messages"),
    Operation("DELETE", "/broadcasts/{id}", "broadcast.end", "messages", "messages"),
    Operation("GET", "/broadcasts", "broadcasts", "messages", "read"),
    Operation("GET", "/history", "history", "messages", "read"),
    Operation("GET", "/messages", "get", "messages", "read"),
    Operation("POST", "/messages/recall", "recall", "messages", "messages"),
    Operation("POST", "/messages/edit", "edit", "messages", "messages"),
    Operation("GET", "/messages/versions", "versions", "messages", "read"),
    Operation("GET", "/messages/reactions", "reactions", "messages", "read"),
    Operation("GET", "/messages/receipts", "receipt.counts", "messages", "read"),
    Operation("GET", "/messages/receipts/members", "receipt.list", "messages", "read"),
)

GROUPS = (
    Operation("POST", "/groups", "group.create", "groups"),
    Operation("GET", "/groups/{group}", "group.info", "groups", "read"),
    Operation("PATCH", "/groups/{group}", "group.update", "groups"),
    Operation("DELETE", "/groups/{group}", "group.dismiss", "groups"),
    Operation("GET", "/groups/{group}/members", "group.members", "groups", "read"),
    Operation("POST", "/groups/{group}/members", "group.invite", "groups"),
    Operation("POST", "/groups/{group}/kick", "group.kick", "groups"),
    Operation("POST", "/groups/{group}/role", "group.role", "groups"),
    Operation("POST", "/groups/{group}/transfer", "group.transfer", "groups"),
    Operation("POST", "/groups/{group}/nick", "group.nick", "groups"),
    Operation("POST", "/groups/{group}/mute", "group.mute", "groups"),
    Operation("POST", "/groups/{group}/mute-all", "group.mute_all", "groups"),
    Operation("GET", "/groups/{group}/requests", "group.requests", "groups", "read"),
    Operation("POST", "/groups/{group}/requests/{id}", "group.decide", "groups"),
    Operation("GET", "/users/{me}/groups", "group.mine", "groups", "read", "me"),
    Operation(
        "GET",
        "/users/{me}/group-requests",
        "group.requests",
        "groups",
        "read",
        "me",
        name="group.my_requests",
    ),
    Operation("POST", "/users/{me}/groups/{group}/join", "group.join", "groups", actor="me"),
    Operation("POST", "/users/{me}/groups/{group}/leave", "group.leave", "groups", actor="me"),
)

ROOMS = (
    Operation("POST", "/rooms", "room.create", "chatrooms"),
    Operation("GET", "/rooms/{room}", "room.info", "chatrooms", "read"),
    Operation("PATCH", "/rooms/{room}", "room.update", "chatrooms"),
    Operation("DELETE", "/rooms/{room}", "room.close", "chatrooms"),
    Operation("GET", "/rooms/{room}/online", "room.online", "chatrooms", "read"),
    Operation("GET", "/rooms/{room}/people", "room.people", "chatrooms", "read"),
    Operation("POST", "/rooms/{room}/role", "room.role", "chatrooms"),
    Operation("POST", "/rooms/{room}/black", "room.black", "chatrooms"),
    Operation("POST", "/rooms/{room}/kick", "room.kick", "chatrooms"),
    Operation("POST", "/rooms/{room}/mute", "room.mute", "chatrooms"),
    Operation("POST", "/rooms/{room}/mute-all", "room.mute_all", "chatrooms"),
    Operation("POST", "/rooms/{room}/mute-tag", "room.mute_tag", "chatrooms"),
    Operation("POST", "/rooms/{room}/recall", "room.recall", "chatrooms"),
    Operation("POST", "/rooms/{room}/attributes", "room.attributes", "chatrooms"),
    Operation("GET", "/rooms/{room}/queue", "room.queue.list", "chatrooms", "read"),
    Operation("POST", "/rooms/{room}/queue", "room.queue.put", "chatrooms"),
    Operation("POST", "/rooms/{room}/queue/poll", "room.queue.poll", "chatrooms"),
    Operation("DELETE", "/rooms/{room}/queue", "room.queue.drop", "chatrooms"),
)

PEOPLE = (
    Operation("POST", "/users", "account.create", "accounts", status=201),
    Operation("POST", "/users/import", "account.import", "accounts"),
    Operation("GET", "/users", "account.list", "accounts", "read"),
    Operation("DELETE", "/users/{user}", "account.delete", "accounts"),
    Operation("POST", "/users/{user}/restore", "account.restore", "accounts"),
    Operation("POST", "/users/{user}/erase", "account.erase", "accounts"),
    Operation("GET", "/users/{user}/export", "account.export", "accounts"),
    Operation("GET", "/users/{user}/erasure", "account.erasure", "accounts", "read"),
    Operation("GET", "/erasures", "account.erasures", "accounts", "read"),
    Operation("GET", "/users/{user}", "account.get", "accounts", "read"),
    Operation("POST", "/users/{user}/disable", "account.disable", "accounts"),
    Operation("POST", "/users/{user}/mute", "account.mute", "accounts"),
    Operation("POST", "/users/{user}/shadow", "account.shadow", "accounts"),
    Operation("GET", "/users/{user}/devices", "devices", "accounts", "read"),
    Operation("POST", "/users/{user}/kick", "kick", "accounts"),
    Operation("GET", "/profiles", "profile.get", "accounts", "read"),
    Operation("PATCH", "/users/{me}/profile", "profile.set", "accounts", actor="me"),
    Operation("GET", "/users/{me}/push", "push.get", "accounts", "read", "me"),
    Operation("PATCH", "/users/{me}/push", "push.set", "accounts", actor="me"),
    Operation("PUT", "/users/{me}/push/devices/{device}", "push.register", "accounts", actor="me"),
    Operation("DELETE", "/users/{me}/push/devices/{device}", "push.unregister", "accounts", actor="me"),
    Operation("POST", "/users/{user}/push/test", "push.test", "accounts"),
    Operation("GET", "/users/{me}/consent", "consent.get", "accounts", "read", "me"),
    Operation("PATCH", "/users/{me}/consent", "consent.set", "accounts", actor="me"),
    Operation("GET", "/users/{me}/relations", "relations", "relations", "read", "me"),
    Operation("POST", "/users/{me}/friends", "friend.add", "relations", actor="me"),
    Operation("PATCH", "/users/{me}/friends/{user}", "friend.alias", "relations", actor="me"),
    Operation("DELETE", "/users/{me}/friends/{user}", "friend.remove", "relations", actor="me"),
    Operation("POST", "/users/{me}/friend-requests", "friend.request", "relations", actor="me"),
    Operation("GET", "/users/{me}/friend-requests", "friend.requests", "relations", "read", "me"),
    Operation("POST", "/users/{me}/friend-requests/{id}", "friend.decide", "relations", actor="me"),
    Operation("PUT", "/users/{me}/blacklist/{user}", "relation.black", "relations", actor="me"),
    Operation("PUT", "/users/{me}/mutelist/{user}", "relation.mute", "relations", actor="me"),
)

CONVERSATIONS = (
    Operation("GET", "/users/{me}/conversations", "conversations", "conversations", "read", "me"),
    Operation("GET", "/users/{me}/unread", "unread", "conversations", "read", "me"),
    Operation("POST", "/users/{me}/conversations/set", "conversation.set", "conversations", actor="me"),
    Operation("POST", "/users/{me}/conversations/clear", "conversation.clear", "conversations", actor="me"),
    Operation("POST", "/users/{me}/read", "read", "conversations", actor="me"),
    Operation("POST", "/users/{me}/messages/delete", "delete", "conversations", actor="me"),
    Operation("POST", "/users/{me}/reactions", "react", "conversations", actor="me"),
)

MODERATION = (
    Operation("GET", "/moderation/queue", "moderation.queue", "moderation", "read"),
    Operation("GET", "/moderation/queue/{id}", "moderation.item", "moderation", "read"),
    Operation("POST", "/moderation/queue/{id}", "moderation.decide", "moderation"),
    Operation("POST", "/moderation/queue/{id}/assign", "moderation.assign", "moderation"),
    Operation("POST", "/moderation/verdicts", "moderation.verdict", "moderation"),
    Operation("POST", "/moderation/remove", "moderation.remove", "moderation"),
    Operation("GET", "/moderation/statistics", "moderation.statistics", "moderation", "read"),
    Operation("POST", "/users/{me}/reports", "message.report", "moderation", actor="me"),
)

EVENTS = (
    Operation("GET", "/events", "events", "events", "read", form=CLOUD_EVENTS),
    Operation("GET", "/events/cursor", "events.cursor", "events", "read"),
    Operation("GET", "/events/groups", "events.groups", "events", "read"),
    Operation("GET", "/events/groups/{group}", "events.group", "events", "read"),
    Operation("PUT", "/events/groups/{group}", "events.commit", "events"),
    Operation("DELETE", "/events/groups/{group}", "events.drop", "events"),
)

OPERATIONS = MESSAGES + GROUPS + ROOMS + PEOPLE + CONVERSATIONS + MODERATION + EVENTS

# Methods that only make sense on a device's own connection.
DEVICE_ONLY = frozenset(
    {
        "ack",
        "presence.subscribe",
        "presence.unsubscribe",
        "pull",
        "receipt.report",
        "receipts",
        "room.join",
        "room.leave",
        "sync",
        "time",
    }
)
