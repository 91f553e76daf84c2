"""One chatroom as this process sees it: its settings, its exceptional people, who is here, what was said
last. Its budget is held by the gateways, which tell what they dropped.

Members are connections, not rows: a room knows the sessions of this process that are in it, and rows exist
only for named, muted or blacklisted people.
"""

from __future__ import annotations

import asyncio
from bisect import bisect_left, bisect_right, insort
from collections import OrderedDict, deque
from collections.abc import Container, Iterator, Mapping
from random import Random
from typing import Annotated, Protocol

import msgspec
from msgspec import UNSET, Meta, Struct

from frame.constants import ROOM_PREFIX
from im_service.errors import Code, ImError
from im_service.live.directory import Cache
from im_service.options import Resolved
from im_service.ports import Budget, Session
from im_service.rates import Bucket
from im_service.settings import MOST_SLOW_S, ImSettings
from im_service.storage.records import HISTORY, Role, Room, RoomMember
from im_service.storage.store import Store

MAX_SPEAKERS = 10_000
"""People whose rate a room keeps; who spoke longest ago goes first."""
COMING_S = 5.0
"""For those who are inside: longer only where the store does not answer, which is told then."""
MAX_REMEMBERED = 10_000
"""Rooms kept in memory when nobody is in them (for their recent ring); the least used goes first."""


class RoomInfo(Struct, omit_defaults=True):
    """What a room is set to. Stored as msgpack with the room's row."""

    name: Annotated[str, Meta(max_length=128)] = ""
    announcement: Annotated[str, Meta(max_length=4096)] = ""
    attributes: dict[str, str] = {}
    history: bool = False  # messages are stored and answer history queries
    ring: Annotated[int, Meta(ge=0, le=200)] = 0  # recent messages a newcomer gets
    notices: bool = True  # tell who enters and leaves, while the room is small
    queue_by_managers: bool = False
    normal_per_s: Annotated[
        float, Meta(ge=-1)
    ] = -1  # messages a member gets, -1 = the service's default, 0 = no limit
    high_per_s: Annotated[float, Meta(ge=-1)] = -1
    slow_s: Annotated[int, Meta(ge=0, le=MOST_SLOW_S)] = 0  # between two messages of one who manages nothing


_decode_info = msgspec.msgpack.Decoder(RoomInfo).decode
encode_info = msgspec.msgpack.Encoder().encode


class RoomRecord(Struct, frozen=True):
    """What the store holds of a room; `room` None = never created."""

    room: Room | None
    people: dict[str, RoomMember]
    tag_mutes: dict[str, int]


class Guest(Protocol):
    """A session, as far as a room must know it."""

    session: Session

    @property
    def rooms(self) -> Container[str]: ...

    @property
    def tags(self) -> Mapping[str, tuple[str, ...]]: ...


class RoomState:
    """A room in memory; rules of who may speak."""

    __slots__ = (
        "__weakref__",
        "_random",
        "_settings",
        "bucket",
        "budget",
        "dropped_high",
        "dropped_normal",
        "dropped_notices",
        "info",
        "lingering",
        "members",
        "order",
        "people",
        "record",
        "ring",
        "room",
        "speakers",
        "tag_mutes",
        "topic",
    )

    def __init__(self, room: str, settings: ImSettings, random: Random) -> None:
        self.room = room
        self.topic = ROOM_PREFIX + room
        self._settings = settings
        self._random = random
        self.record: Room | None = None
        self.info = RoomInfo()
        self.people: dict[str, RoomMember] = {}
        self.tag_mutes: dict[str, int] = {}
        self.members: dict[str, dict[tuple[int, int], Session]] = {}
        self.order: list[str] | None = None  # of the members, since somebody asked for a page of them
        self.lingering: dict[str, object] = {}  # whose connection was lost a moment ago: which loss it was
        self.ring: deque[tuple[str, int, bytes]] = deque(maxlen=0)  # tag ("" = for all), server id, message
        self.bucket = Bucket()
        self.speakers: OrderedDict[str, Bucket] = OrderedDict()
        self.budget: Budget | None = None
        self.dropped_normal = self.dropped_high = self.dropped_notices = 0

    def update(self, record: RoomRecord) -> None:
        """Take over what the store holds."""
        self.people = record.people
        self.tag_mutes = record.tag_mutes
        self.set_room(record.room)

    def set_room(self, room: Room | None) -> None:
        self.record = room
        self.info = RoomInfo() if room is None or not room.info else _decode_info(room.info)
        settings = self._settings
        normal, high = self.info.normal_per_s, self.info.high_per_s
        self.budget = None
        if normal >= 0 or high >= 0:
            self.budget = (
                settings.room_normal_per_s if normal < 0 else normal,
                settings.room_high_per_s if high < 0 else high,
            )
        keep = min(self.info.ring, settings.room_ring)
        if self.ring.maxlen != keep:
            self.ring = deque(self.ring, maxlen=keep)

    @property
    def open(self) -> bool:
        return self.record is not None and not self.record.closed

    @property
    def online(self) -> int:
        return len(self.members)

    def enters(self, session: Session) -> None:
        """This session is in the room from now on."""
        sessions = self.members.get(session.user)
        if sessions is None:
            sessions = self.members[session.user] = {}
            if self.order is not None:
                insort(self.order, session.user)
        sessions[session.node, session.conn] = session

    def exits(self, session: Session) -> None:
        """It is not in the room any more."""
        sessions = self.members.get(session.user, {})
        sessions.pop((session.node, session.conn), None)
        if not sessions and self.members.pop(session.user, None) is not None and self.order is not None:
            del self.order[bisect_left(self.order, session.user)]

    def page(self, after: str, limit: int) -> list[str]:
        """Who is here, in order, behind `after`: sorted once, whatever the number of people and of calls."""
        if self.order is None:
            self.order = sorted(self.members)
        start = bisect_right(self.order, after)
        return self.order[start : start + limit]

    def role(self, user: str) -> Role:
        if self.record is not None and self.record.owner == user:
            return Role.OWNER
        person = self.people.get(user)
        return Role.MEMBER if person is None else person.role

    def manages(self, user: str) -> bool:
        return self.role(user) in (Role.OWNER, Role.MANAGER)

    def speaker(self, user: str) -> Bucket:
        """What this user has left to say here, whatever its connections do."""
        bucket = self.speakers.get(user)
        if bucket is None:
            bucket = self.speakers[user] = Bucket()
            if len(self.speakers) > MAX_SPEAKERS:
                self.speakers.popitem(last=False)
        self.speakers.move_to_end(user)
        return bucket

    def high(self, user: str) -> bool:
        """May messages of this user be those that are dropped last?"""
        return self._settings.room_high_by_members or self.manages(user)

    def enter(self, user: str) -> None:
        """May this user come in? 13002, 13003."""
        if not self.open:
            raise ImError(Code.ROOM_NOT_FOUND)
        person = self.people.get(user)
        if person is not None and person.black:
            raise ImError(Code.ROOM_BLACKLISTED)

    def admit(self, state: Guest, now: int) -> None:
        """May this session speak? Membership, mutes, blacklist: 13002, 13001, 13004, 13005, 13003."""
        if not self.open:
            raise ImError(Code.ROOM_NOT_FOUND)
        if self.room not in state.rooms:
            raise ImError(Code.NOT_IN_ROOM)
        self.hush(state, now)

    def hush(self, state: Guest, now: int) -> None:
        """Is this session to be silent here? 13004, 13005, 13003."""
        person = self.people.get(state.session.user) if self.people else None
        if person is not None and person.muted_until_ms > now:
            raise ImError(Code.ROOM_MUTED, None, {"until_ms": person.muted_until_ms})
        if self.tag_mutes:
            for tag in state.tags.get(self.room, ()):
                if self.tag_mutes.get(tag, 0) > now and not self.manages(state.session.user):
                    raise ImError(
                        Code.ROOM_MUTED, f"the tag {tag} is muted", {"until_ms": self.tag_mutes[tag]}
                    )
        if self.record is not None and self.record.mute_all and not self.manages(state.session.user):
            raise ImError(Code.ROOM_MUTED_ALL)
        if person is not None and person.black:
            raise ImError(Code.ROOM_BLACKLISTED)

    def keeps(self, options: Resolved) -> bool:
        """Is this message stored?"""
        return self.info.history and bool(options.bits & HISTORY) and options.options.skipHistory is not True

    def abandons(self, options: Resolved) -> bool:
        """Is this one of those that its sender would rather have dropped? For all members alike."""
        if options.plain or options.options.abandonRatio is UNSET:
            return False
        return self._random.randrange(10_000) < options.options.abandonRatio

    def remember(self, message: bytes, server_id: int, tag: str) -> None:
        """Into the ring newcomers get."""
        if self.ring.maxlen:
            self.ring.append((tag, server_id, message))

    def recent(self, tags: Container[str]) -> Iterator[bytes]:
        """The ring as somebody under these tags may see it, newest first."""
        return (message for tag, _, message in reversed(self.ring) if not tag or tag in tags)

    def forget(self, server_id: int) -> None:
        """Out of the ring: newcomers get it no more."""
        self.ring = deque((each for each in self.ring if each[1] != server_id), maxlen=self.ring.maxlen)


class RoomTable:
    """Rooms by id; one live object each."""

    def __init__(self, store: Store, settings: ImSettings, random: Random) -> None:
        self._store = store
        self._cache: Cache[str, RoomState, RoomRecord] = Cache(
            lambda room: RoomState(room, settings, random), RoomState.update, self._read
        )
        self._kept: OrderedDict[str, RoomState] = OrderedDict()
        self.coming: dict[str, asyncio.Future[None]] = {}
        """rooms of which it is told who is inside, and that have to be read for that (chatrooms/moves.py)"""
        self.dropped_normal = self.dropped_high = self.dropped_notices = 0

    def dropped(self, topic: str, normal: int, high: int, notices: int) -> None:
        """A gateway dropped so much of what was for a room, so that some of its members missed it."""
        room = self._cache.peek(topic.removeprefix(ROOM_PREFIX))
        for place in (self,) if room is None else (self, room):
            place.dropped_normal += normal
            place.dropped_high += high
            place.dropped_notices += notices

    async def _read(self, room: str) -> RoomRecord:
        found = await self._store.rooms([room])
        if not found:
            return RoomRecord(None, {}, {})
        people: dict[str, RoomMember] = {}
        after, more = "", True
        while more:
            page = await self._store.room_members(room, after)
            people.update((person.user, person) for person in page.items)
            after, more = page.items[-1].user if page.items else after, page.more
        tags = {mute.tag: mute.until_ms for mute in await self._store.tag_mutes(room)}
        return RoomRecord(found[0], people, tags)

    async def get(self, room: str) -> RoomState:
        """The room, open or not, created or not, with everybody inside of whom it was told before. What was
        never created is not remembered.
        """
        if (coming := self.coming.get(room)) is not None:
            await asyncio.wait({coming}, timeout=COMING_S)
        return await self.read(room)

    async def read(self, room: str) -> RoomState:
        """`get` without waiting for who is inside."""
        state = await self._cache.get(room)
        if state.record is None:
            return state
        self._kept[room] = state
        self._kept.move_to_end(room)
        if len(self._kept) > MAX_REMEMBERED:
            self._kept.popitem(last=False)
        return state

    def peek(self, room: str) -> RoomState | None:
        """The room, if somebody is in it or it is remembered."""
        return self._cache.peek(room)

    def live(self) -> list[RoomState]:
        return self._cache.values()

    async def refresh(self, room: str) -> None:
        await self._cache.refresh(room)

    async def refresh_all(self) -> None:
        await self._cache.refresh_all()
