"""Where a request belongs: everybody who knows the same im processes sends it to the same one."""

from __future__ import annotations

import msgspec

from frame.constants import GROUP_PREFIX, ROOM_PREFIX, USER_PREFIX
from im_service.errors import UNDECODABLE
from im_service.ids import single

# A CALL that names a room or a group goes where that room's messages go.
_PLACES = {"room": ROOM_PREFIX, "group": GROUP_PREFIX}


class _Named(msgspec.Struct):
    """What arguments may name."""

    room: str = ""
    group: str = ""
    conversation: str = ""
    target: str = ""
    sender: str = ""
    user: str = ""


_NOTHING = _Named()
_named = msgspec.msgpack.Decoder(_Named).decode


def conversation_key(user: str, target: str) -> str:
    """The same text for both sides of a single chat; the target itself for groups and rooms."""
    if not target.startswith(USER_PREFIX):
        return target
    return single(user, target[2:])


def user_key(user: str) -> str:
    """Where logins of this user go, and calls about nothing else."""
    return USER_PREFIX + user


def call_key(user: str, method: str, payload: bytes) -> str:
    """Where a CALL goes: to its room or group if it names one, else to the user's own process."""
    return _place(method, _read(payload)) or user_key(user)


def server_key(user: str, method: str, payload: bytes) -> str:
    """Where a call of the app's server goes, acting for `user` or for itself; "" = anywhere."""
    named = _read(payload)
    if place := _place(method, named):
        return place
    if named.target:
        return conversation_key(named.sender, named.target)
    owner = user or named.user
    return user_key(owner) if owner else ""


def _read(payload: bytes) -> _Named:
    try:
        return _named(payload)
    except (*UNDECODABLE, ValueError, TypeError, OverflowError):
        return _NOTHING  # the process that gets it says what is wrong with it


def _place(method: str, named: _Named) -> str:
    place = method.partition(".")[0]
    if place in _PLACES and (name := getattr(named, place)):
        return f"{_PLACES[place]}{name}"
    return named.conversation if named.conversation.startswith(ROOM_PREFIX) else ""
