"""Entering and leaving chatrooms."""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple
from weakref import WeakSet

from msgspec import Raw

from frame.constants import ROOM_PREFIX, USER_PREFIX, FrameType
from im_service.calls import Caller, Nothing, method
from im_service.chatrooms.model import (
    JoinArgs,
    RoomArgs,
    RoomJoined,
)
from im_service.context import ServiceContext
from im_service.errors import Code, ImError
from im_service.ids import check_id, tag_topic
from im_service.live.room import RoomState
from im_service.live.users import SessionState
from im_service.models import notice_event
from im_service.pages import fit, parts
from im_service.ports import NOTICE, Session
from im_service.storage.errors import StoreError
from im_service.turns import in_turns

EVENT = int(FrameType.EVENT)
AGAIN_S = 0.5
"""Elements that the store did not take away are tried again so much later."""
LEFT_MS, MAX_LEFT = 10_000, 10_000
"""Who left a room, and how long that is remembered: a gateway or another im process may tell later that they
are inside."""
OUT_MS = 600_000
"""The same for who was put out: their gateway may be cut off for that long, and tell when it is back."""
ALL_NODES = -1
LATE = "the gateway that asked has given this process up meanwhile"
_log = logging.getLogger("qianwan.im")


def seat(state: SessionState, room: RoomState) -> None:
    """This session is in the room from now on."""
    session = state.session
    state.rooms[room.room] = room
    room.enters(session)
    room.lingering.pop(session.user, None)


def unseat(state: SessionState, room: RoomState) -> None:
    """It is not in the room any more."""
    session = state.session
    del state.rooms[room.room]
    state.tags.pop(room.room, None)
    state.routes.pop(room.topic, None)
    room.exits(session)


class Out(NamedTuple):
    """An order, by its number. `holds`: they did not come back since."""

    number: int
    at_ms: int
    holds: bool


class RoomDoor:
    """Who is in a room is a fact of connections: it ends with them."""

    def __init__(self, context: ServiceContext) -> None:
        self._store = context.store
        self._clock = context.clock
        self._peers = context.peers
        self._table = context.rooms
        self._sessions = context.sessions
        self._downlink = context.downlink
        self._announcer = context.announcer
        self._per_connection = context.settings.rooms_per_connection
        self._notice_members = context.settings.room_notice_members
        self._grace_s = context.settings.room_grace_ms / 1000
        self._tasks: set[asyncio.Task[None]] = set()
        self._late: WeakSet[asyncio.Task[None]] = WeakSet()  # calls of which nobody waits for the answer
        self._left: OrderedDict[tuple[int, int | str, str], int] = OrderedDict()  # when, oldest first
        self._out: OrderedDict[tuple[str, str], Out] = OrderedDict()  # user, room: the same
        self._out_of: dict[str, set[str]] = {}  # user -> rooms of these
        self._came: OrderedDict[tuple[str, str], int] = OrderedDict()  # user, room: when they asked to enter
        self._untold: OrderedDict[tuple[int, int, str], None] = OrderedDict()  # who believe to be inside
        self.gateways_back = 0
        """How often a gateway was heard that had given this process up."""
        self._ring_bytes = context.settings.reply_bytes - context.settings.room_attributes_bytes

    @method(
        "room.join",
        Code.ROOM_NOT_FOUND,
        Code.ROOM_BLACKLISTED,
        Code.CONFLICT,
        result=RoomJoined,
    )
    async def join(self, caller: Caller, args: JoinArgs) -> RoomJoined:
        """Enter a room with this connection, in up to 4 tags. Several rooms a connection; a repeat changes
        the tags."""
        room = await self._table.get(check_id(args.room, "room"))
        tags = tuple(dict.fromkeys(args.tags))
        for tag in tags:
            tag_topic(room.topic, tag)
        state = self._state(caller)
        room.enter(caller.user)
        if state.over:
            raise ImError(Code.UNAVAILABLE, "the connection is gone")
        session = state.session
        if args.room not in state.rooms:
            self._refuse_untold(session, args.room)
            if len(state.rooms) >= self._per_connection:
                raise ImError(Code.CONFLICT, f"at most {self._per_connection} rooms a connection")
            newcomer = caller.user not in room.members
            self._left.pop((session.node, session.conn, args.room), None)
            self._left.pop((ALL_NODES, session.user, args.room), None)
            self.comes(session.user, args.room, self._clock.now_ms())
            seat(state, room)
            self._downlink.join(session, room.topic, room.budget)
            if newcomer:
                self._tell(room, "room.enter", caller.user, state)
        else:  # whoever is told that they are inside hears the room, whatever was known
            for topic in (room.topic, *(tag_topic(room.topic, tag) for tag in tags)):
                self._downlink.join(session, topic, room.budget if topic == room.topic else None)
        self._set_tags(state, room, tags)
        most = self._ring_bytes
        newest, _ = fit((Raw(message) for message in room.recent(tags) if len(message) <= most), most)
        return RoomJoined(args.room, room.online, room.info.attributes, newest[::-1])

    def _set_tags(self, state: SessionState, room: RoomState, tags: tuple[str, ...]) -> None:
        before = state.tags.get(room.room, ())
        for tag in before:
            if tag not in tags:
                self._downlink.leave(state.session, tag_topic(room.topic, tag))
        for tag in tags:
            if tag not in before:
                self._downlink.join(state.session, tag_topic(room.topic, tag))
        state.tags[room.room] = tags

    def _state(self, caller: Caller) -> SessionState:
        if caller.session is None:
            raise ImError(Code.INVALID, "only a connection can be in a room")
        if self._late and asyncio.current_task() in self._late:
            raise ImError(Code.TIMEOUT, LATE)
        return self._sessions.still(caller.session)

    def too_late(self, node: int, calls: Iterable[asyncio.Task[None]]) -> None:
        """These calls enter and leave no room any more, and who left through this node has not: whoever asked
        was told that nobody knows, and asked elsewhere."""
        self.gateways_back += 1
        self._late.update(calls)
        for key in [key for key in self._left if key[0] == node]:
            del self._left[key]

    def note_left(self, node: int, who: int | str, room: str) -> None:
        """What says of this connection (or user, at ALL_NODES) that they are inside, and comes in the next
        seconds, is older."""
        now, left = self._clock.elapsed_ms(), self._left
        left[node, who, room] = now
        left.move_to_end((node, who, room))
        while len(left) > MAX_LEFT or next(iter(left.values())) < now - LEFT_MS:
            left.popitem(last=False)

    def note_out(self, user: str, room: str, number: int = 0) -> bool:
        """What says of a connection of this user that it is inside is older, or of a gateway that did not
        hear of it. `number`: of an order that another process was given. False where it is known."""
        now, out = self._clock.elapsed_ms(), self._out
        known, came = out.get((user, room)), self._came.get((user, room), 0)
        if number and (came >= number or (known is not None and known.number == number)):
            return False
        self._came.pop((user, room), None)
        out[user, room] = Out(number or self._clock.now_ms(), now, True)
        out.move_to_end((user, room))
        self._out_of.setdefault(user, set()).add(room)
        while len(out) > MAX_LEFT or next(iter(out.values())).at_ms < now - OUT_MS:
            (gone, of), _ = out.popitem(last=False)
            self._out_of[gone].discard(of)
            if not self._out_of[gone]:
                del self._out_of[gone]
        return True

    def came(self) -> Iterator[tuple[int, str, str]]:
        """When, user, room of those who entered lately."""
        for (user, room), at_ms in list(self._came.items()):
            yield at_ms, user, room

    def comes(self, user: str, room: str, at_ms: int) -> None:
        """By their own will, after whatever was ordered before; unix ms, as orders are numbered."""
        self._came[user, room] = max(at_ms, self._came.get((user, room), 0))
        self._came.move_to_end((user, room))
        if len(self._came) > MAX_LEFT:
            self._came.popitem(last=False)
        out = self._out.get((user, room))
        if out is not None and out.number <= at_ms:
            self._out[user, room] = out._replace(holds=False)

    def told_again(self, session: Session) -> None:
        """Words to its gateway were lost: it may not have heard that it is out of a room, and its client will
        enter again whatever it believes to be in."""
        for room in self._out_of.get(session.user, ()):
            if self._is_out(session.user, room):
                self._untold[session.node, session.conn, room] = None
                if len(self._untold) > MAX_LEFT:
                    self._untold.popitem(last=False)

    def _refuse_untold(self, session: Session, room: str) -> None:
        """Once: they may come back by a will of their own."""
        key = session.node, session.conn, room
        if key in self._untold:
            del self._untold[key]
            if self._is_out(session.user, room):
                self.comes(session.user, room, self._clock.now_ms())
                self.tell_out(session.user, room)
                raise ImError(Code.CONFLICT, "put out of this room a while ago; enter it again to come back")

    def tell_out(self, user: str, room: str) -> None:
        """The client hears that it is in this room no more."""
        data = {"room": room, "reason": "kicked", "by": ""}
        self._announcer.event(USER_PREFIX + user, "room.kicked", data)

    def _is_out(self, user: str, room: str) -> bool:
        out = self._out.get((user, room))
        return out is not None and out.holds and self._clock.elapsed_ms() - out.at_ms < OUT_MS

    def orders(self) -> Iterator[tuple[int, str, str]]:
        """Number, user, room of each who was put out lately and did not come back."""
        since = self._clock.elapsed_ms() - OUT_MS
        for (user, room), out in list(self._out.items()):
            if out.holds and out.at_ms > since:
                yield out.number, user, room

    def left_lately(self, session: Session, room: str) -> bool:
        now, user = self._clock.elapsed_ms(), session.user
        left = self._left.get((session.node, session.conn, room), now - LEFT_MS)
        since = max(left, self._left.get((ALL_NODES, user, room), now - LEFT_MS))
        return now - since < LEFT_MS or self._is_out(user, room)

    @method("room.leave")
    async def leave(self, caller: Caller, args: RoomArgs) -> Nothing:
        """Leave a room with this connection. Leaving a room one is not in is fine."""
        state = self._state(caller)
        room = state.rooms.get(args.room)
        if room is not None:
            await self.drop(state, room, "room.exit")
        else:
            # Whom this process does not know inside may be there: another one knew it, and is gone.
            session = state.session
            self._downlink.leave(session, ROOM_PREFIX + check_id(args.room, "room"))
            self.note_left(session.node, session.conn, args.room)
            self._peers.changed("left", f"{session.node} {session.conn} {args.room}")
        return {}

    async def drop(
        self,
        state: SessionState,
        room: RoomState,
        event: str,
        data: Mapping[str, object] | None = None,
        lost: bool = False,
    ) -> None:
        """Take one session out of a room. With the user's last session their transient queue elements go; if
        it was `lost`, after a grace. The queue of a room that is closed nobody sees any more."""
        session = state.session
        if room.room not in state.rooms:
            return
        self._downlink.leave(session, room.topic)
        self._set_tags(state, room, ())
        unseat(state, room)
        if not state.over:
            self.note_left(session.node, session.conn, room.room)
        if session.user in room.members:
            return
        self._tell(room, event, session.user, state, data)
        if not room.open:
            return
        if lost and self._grace_s:
            self._clear_in(self._grace_s, room, session.user)
        else:
            await self._try_to_clear(room, session.user)

    async def _try_to_clear(self, room: RoomState, user: str) -> None:
        """Whoever leaves has left, whatever the store says: what it does not take now is tried again."""
        try:
            await self._clear(room, user)
        except StoreError as error:
            _log.warning("transient elements of a room wait for the store: %s", error)
            self._clear_in(AGAIN_S, room, user)

    def _clear_in(self, seconds: float, room: RoomState, user: str) -> None:
        room.lingering[user] = loss = object()
        task = asyncio.get_running_loop().create_task(self._clear_later(seconds, room, user, loss))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _clear_later(self, seconds: float, room: RoomState, user: str, loss: object) -> None:
        await asyncio.sleep(seconds)
        if room.lingering.get(user) is loss:
            del room.lingering[user]
            await self._try_to_clear(room, user)

    async def _clear(self, room: RoomState, user: str) -> None:
        gone = await self._store.queue_clear(room.room, user)
        for keys in parts([item.key for item in gone], self._ring_bytes) if gone else ():
            body = {"room": room.room, "op": "exit", "keys": keys}
            self._downlink.publish(room.topic, EVENT, notice_event("room.queue", body), NOTICE)

    async def put_out(
        self, room: RoomState, user: str, event: str, data: Mapping[str, object] | None = None
    ) -> None:
        """Take every session of a user out of a room."""
        for session in list(room.members.get(user, {}).values()):
            state = self._sessions.get(session)
            if state is not None:
                await self.drop(state, room, event, data)

    async def obey(self, room: RoomState) -> None:
        """Another process decided something about this room: whoever may be in it no more is out."""
        if not room.open:
            await self.empty(room)
            return
        for user in [user for user, person in room.people.items() if person.black and user in room.members]:
            await self.put_out(room, user, "room.kick", {"reason": "blacklisted"})

    async def empty(self, room: RoomState) -> None:
        """Everybody out of a room that is closed."""
        async for user in in_turns(list(room.members)):
            await self.put_out(room, user, "room.exit")

    async def logout(self, state: SessionState) -> None:
        """The connection is gone: so is it from its rooms."""
        for room in list(state.rooms.values()):
            await self.drop(state, room, "room.exit", lost=True)

    async def close(self) -> None:
        """Wait for nobody any more: elements of those who are away stay until they are back."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _tell(
        self,
        room: RoomState,
        event: str,
        user: str,
        state: SessionState,
        data: Mapping[str, object] | None = None,
    ) -> None:
        """In and out notices, unless the room does not want them or is too full for them."""
        if room.info.notices and room.online <= self._notice_members:
            body = {"room": room.room, "user": user, "online": room.online, **(data or {})}
            self._downlink.publish(room.topic, EVENT, notice_event(event, body), NOTICE, state.session)
