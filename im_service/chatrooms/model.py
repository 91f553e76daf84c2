"""Arguments and answers of chatroom calls."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Struct, field

from im_service.calls import Args, Positive, Seconds
from im_service.live.room import RoomInfo, RoomState
from im_service.models import ROLE_NAMES, WireMessage
from im_service.settings import MOST_SLOW_S, TAGS_PER_ROOM
from im_service.storage.records import QueueItem, Role, RoomMember

Tags = Annotated[list[str], Meta(max_length=TAGS_PER_ROOM)]
ROLES = {"member": Role.MEMBER, "manager": Role.MANAGER, "guest": Role.MEMBER, "restricted": Role.RESTRICTED}


class RoomChanges(Args):
    """Settings in create and update; absent = as they are. A rate of 0 = no budget, -1 = the service's."""

    name: Annotated[str, Meta(max_length=128)] | None = None
    announcement: Annotated[str, Meta(max_length=4096)] | None = None
    history: bool | None = None
    ring: Annotated[int, Meta(ge=0, le=200)] | None = None
    notices: bool | None = None
    queue_by_managers: bool | None = None
    normal_per_s: Annotated[float, Meta(ge=-1)] | None = None
    high_per_s: Annotated[float, Meta(ge=-1)] | None = None
    slow_s: Annotated[int, Meta(ge=0, le=MOST_SLOW_S)] | None = None


class CreateArgs(RoomChanges):
    room: str = ""
    owner: str = ""


class UpdateArgs(RoomChanges, kw_only=True):
    room: str


class AttributesArgs(Args):
    room: str
    put: dict[str, str] = field(default_factory=dict)
    remove: Annotated[list[Annotated[str, Meta(max_length=1024)]], Meta(max_length=100)] = field(
        default_factory=list
    )


class MuteAllArgs(Args):
    room: str
    on: bool


class RoleArgs(Args):
    room: str
    user: str
    role: Literal["member", "manager", "guest", "restricted"]


class MuteArgs(Args):
    room: str
    user: str
    seconds: Seconds = -1
    notify: bool = True


class TagMuteArgs(Args):
    room: str
    tag: str
    seconds: Seconds = -1


class BlackArgs(Args):
    room: str
    user: str
    on: bool = True


class KickArgs(Args):
    room: str
    user: str
    reason: Annotated[str, Meta(max_length=256)] = ""


class RecallArgs(Args):
    room: str
    server_id: Positive
    text: Annotated[str, Meta(max_length=128)] = ""


class PeopleArgs(Args):
    room: str
    after: str = ""
    limit: Annotated[int, Meta(ge=1, le=500)] = 100


class JoinArgs(Args):
    room: str
    tags: Tags = field(default_factory=list)


class RoomArgs(Args):
    room: str


class QueueArgs(Args):
    room: str
    after: Annotated[int, Meta(ge=-(1 << 62), le=1 << 62)] | None = None


class PutArgs(Args):
    room: str
    key: Annotated[str, Meta(min_length=1, max_length=128)]
    value: Annotated[str, Meta(max_length=4096)] = ""
    transient: bool = False
    front: bool = False


class PollArgs(Args):
    room: str
    key: str | None = None


SETTINGS = RoomChanges.__struct_fields__


def given(args: RoomChanges) -> dict[str, object]:
    return {name: value for name in SETTINGS if (value := getattr(args, name)) is not None}


def changed(info: RoomInfo, args: RoomChanges) -> tuple[RoomInfo, dict[str, object]]:
    """The settings with those that are given, and what differs, alone."""
    new = msgspec.structs.replace(info, **given(args))
    return new, {name: value for name, value in given(args).items() if value != getattr(info, name)}


class RoomView(Struct):
    """`dropped_*`: what some members missed because it was over the room's budget, since this process knows
    the room."""

    room: str
    owner: str
    online: int
    mute_all: bool
    closed: bool
    dropped_normal: int
    dropped_high: int
    dropped_notices: int
    name: str
    announcement: str
    attributes: dict[str, str]
    history: bool
    ring: int
    notices: bool
    queue_by_managers: bool
    normal_per_s: float
    high_per_s: float
    slow_s: int


def describe(room: RoomState) -> RoomView:
    """A room as calls return it."""
    record = room.record
    return RoomView(
        room=room.room,
        owner="" if record is None else record.owner,
        online=room.online,
        mute_all=record is not None and record.mute_all,
        closed=not room.open,
        dropped_normal=room.dropped_normal,
        dropped_high=room.dropped_high,
        dropped_notices=room.dropped_notices,
        **msgspec.structs.asdict(room.info),
    )


class RoomJoined(Struct):
    """`recent`: what was said last, oldest first, as much of it as an answer takes."""

    room: str
    online: int
    attributes: dict[str, str]
    recent: list[WireMessage]


class RoomAttributes(Struct):
    attributes: dict[str, str]


class RoomMuted(Struct):
    until_ms: int


class PersonView(Struct):
    user: str
    role: str
    named: bool
    black: bool
    muted_until_ms: int


class PeoplePage(Struct):
    people: list[PersonView]
    more: bool


def describe_person(person: RoomMember) -> PersonView:
    return PersonView(person.user, ROLE_NAMES[person.role], person.named, person.black, person.muted_until_ms)


class Online(Struct):
    """`online`: how many in all."""

    users: list[str]
    online: int
    more: bool


class QueueElement(Struct):
    key: str
    value: str
    owner: str
    transient: bool


class QueueTaken(Struct):
    item: QueueElement | None


class QueueList(Struct):
    """`after`: where the next page begins; nil = at the front."""

    items: list[QueueElement]
    after: int | None
    more: bool


class QueueDropped(Struct):
    dropped: int


def describe_item(item: QueueItem) -> QueueElement:
    return QueueElement(item.key, item.value, item.owner, item.transient)
