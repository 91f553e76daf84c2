"""Kinds of chatrooms."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from im_service.outbox.kinds.base import Big, By, Change, UntilMs


class RoomChange(Change, kw_only=True):
    RECORD = "room"
    SUBJECT = "r/<room>"
    room: str
    by: By


class RoomCreate(RoomChange, kw_only=True):
    """A chatroom was made; owner `@system`: nobody's."""

    KIND = "room.create"
    owner: str
    name: str


class RoomUpdate(RoomChange, kw_only=True):
    """Its name, announcement or settings were changed."""

    KIND = "room.update"
    changes: Annotated[dict[str, object], Meta(description="what is different now, by name")]


class RoomAttributesPut(RoomChange, kw_only=True):
    """Its attributes: all of them, as they are now."""

    KIND = "room.attributes"
    attributes: dict[str, str]


class RoomClose(RoomChange, kw_only=True):
    """It was ended."""

    KIND = "room.close"


class RoomMuteAll(RoomChange, kw_only=True):
    """Only its owner and managers speak, or all again."""

    KIND = "room.mute_all"
    on: bool


class RoomRole(RoomChange, kw_only=True):
    """`user` is now `member`, `manager`, `restricted` or `guest`."""

    KIND = "room.role"
    user: str
    role: str


class RoomMute(RoomChange, kw_only=True):
    """`user` does not speak there until then."""

    KIND = "room.mute"
    user: str
    until_ms: UntilMs


class RoomMuteTag(RoomChange, kw_only=True):
    """Who came in under this tag does not speak until then."""

    KIND = "room.mute_tag"
    tag: str
    until_ms: UntilMs


class RoomBlack(RoomChange, kw_only=True):
    """`user` is out and stays out, or may come again."""

    KIND = "room.black"
    user: str
    on: bool


class RoomRecalled(RoomChange, kw_only=True):
    """A message of the room was taken back. `seq` 0: the room keeps none."""

    KIND = "room.recall"
    seq: int
    server_id: Big
    text: str


KINDS: tuple[type[Change], ...] = (
    RoomCreate,
    RoomUpdate,
    RoomAttributesPut,
    RoomClose,
    RoomMuteAll,
    RoomRole,
    RoomMute,
    RoomMuteTag,
    RoomBlack,
    RoomRecalled,
)
