"""What may be asked about."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

from im_service.ids import GROUP, ROOM, SINGLE


class Kind(StrEnum):
    """The word stands in each question and in metrics."""

    SINGLE = "message.single"
    GROUP = "message.group"
    ROOM = "message.room"
    FRIEND = "friend.request"
    GROUP_CREATE = "group.create"
    GROUP_JOIN = "group.join"
    ROOM_ENTER = "room.enter"
    LOGIN = "login"


OF_MESSAGES: Mapping[str, Kind] = {SINGLE: Kind.SINGLE, GROUP: Kind.GROUP, ROOM: Kind.ROOM}
"""By kind of conversation: messages, and edits of messages."""
OF_CALLS: Mapping[str, Kind] = {
    "friend.add": Kind.FRIEND,
    "friend.request": Kind.FRIEND,
    "group.create": Kind.GROUP_CREATE,
    "group.join": Kind.GROUP_JOIN,
    "group.invite": Kind.GROUP_JOIN,
    "room.join": Kind.ROOM_ENTER,
}
"""By method of a user's call. Who accepts what was asked for before is not asked about again."""
