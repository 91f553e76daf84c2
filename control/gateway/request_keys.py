"""Where a request belongs: everybody who knows the same im processes sends it to the same one."""

from __future__ import annotations

from typing import Any

import msgspec

from frame.constants import GROUP_PREFIX, ROOM_PREFIX, USER_PREFIX
from im_service.errors import UNDECODABLE
from im_service.ids import single

# A CALL that names a room or a group goes where that room's messages go.
_PLACES = {"room": ROOM_PREFIX, "group": GROUP_PREFIX}
_ROOT = msgspec.msgpack.Decoder(dict[str, Any]).decode


def conversation_key(user: str, target: str) -> str:
    """The same text for both sides of a single chat; the target itself for groups and rooms."""
    if not target.startswith(USER_PREFIX):
        return target
    return single(user, target[2:])


def call_key(user: str, method: str, payload: bytes) -> str:
    """Where a CALL goes: to its room or group if it names one, else to the user's own process."""
    place = method.partition(".")[0]
    if place in _PLACES:
        try:
            named = _ROOT(payload).get(place)
        except (*UNDECODABLE, ValueError, TypeError, OverflowError):
            named = None  # the process that serves the user says what is wrong with it
        if isinstance(named, str):
            return _PLACES[place] + named
    return USER_PREFIX + user
