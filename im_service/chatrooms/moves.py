"""A room is served by another im process when the set of im processes changes: who is inside goes along.

The connections stay in the room's topics all the time; what moves is who knows them. What the gateways say
of it is the truth; an im process that goes on hands over what they cannot know yet.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter, deque

from frame.constants import ROOM_PREFIX
from im_service.chatrooms.door import RoomDoor, seat, unseat
from im_service.context import ServiceContext
from im_service.errors import ImError
from im_service.live.room import RoomState
from im_service.ports import Session, Way
from im_service.storage.errors import StoreError
from im_service.turns import SLICE

GUEST = "guest"
"""Kind of a word to the process that serves the room from now on: who is inside."""
OUT = "out"
"""The same: who was put out, maybe while that process and its gateways could not be told."""
CAME = "came"
"""The same: who entered, and when: an order from before is not about them."""
AGAIN_S = 0.5
DOUBT_MS = 3_000
_log = logging.getLogger("qianwan.im")


class RoomMoves:
    """`hand_over` at the one process becomes `take_over` at the other, once for each guest; `inside`, `left`
    and `afresh` are words of the gateways."""

    def __init__(self, context: ServiceContext, door: RoomDoor) -> None:
        self._table = context.rooms
        self._sessions = context.sessions
        self._downlink = context.downlink
        self._clock = context.clock
        self._afresh_ms = -DOUBT_MS
        self._door = door
        self._told: deque[tuple[Session, str]] = deque()  # inside, in rooms that have to be read
        self._due: Counter[str] = Counter()  # room -> how many of these
        self._taking: asyncio.Task[None] | None = None

    async def hand_over(self, way: Way) -> None:
        """All guests of rooms that another process serves, some hundred between two turns of the loop."""
        said = 0
        for at_ms, user, name in self._door.came():
            if (tell := way(ROOM_PREFIX + name)) is not None:
                tell(CAME, f"{at_ms} {name} {user}")
        for number, user, name in self._door.orders():
            if (tell := way(ROOM_PREFIX + name)) is not None:
                tell(OUT, f"{number} {name} {user}")
        for room in self._table.live():
            tell = way(room.topic) if room.members else None
            if tell is None:
                continue
            for session in [each for sessions in room.members.values() for each in sessions.values()]:
                state = self._sessions.get(session)
                if state is None or room.room not in state.rooms:
                    continue
                tags = state.tags.get(room.room, ())
                unseat(state, room)
                tell(GUEST, " ".join([room.room, *map(str, session), *tags]))
                said += 1
                if said % SLICE == 0:
                    await asyncio.sleep(0)

    async def take_over(self, key: str) -> None:
        """What is said before a gateway was heard again that had given this process up is old; it may come a
        little later."""
        name, node, conn, user, device, *tags = key.split(" ")
        room = await self._table.read(name)
        if self._clock.elapsed_ms() - self._afresh_ms >= DOUBT_MS:
            self._take(room, Session(int(node), int(conn), user, device), tuple(tags))

    def came(self, word: str) -> None:
        at_ms, name, user = word.split(" ")
        self._door.comes(user, name, int(at_ms))

    async def out(self, word: str) -> None:
        """Somebody was put out by a process that served the room, or believed that it did."""
        number, name, user = word.split(" ")
        if self._door.note_out(user, name, int(number)):
            self._downlink.leave_user(user, ROOM_PREFIX + name)
            self._door.tell_out(user, name)
            if (room := self._table.peek(name)) is not None:
                await self._door.put_out(room, user, "room.kick", {"reason": "kicked"})

    def _take(self, room: RoomState, session: Session, tags: tuple[str, ...]) -> None:
        """Whoever may be in the room no more is out; who left a moment ago is not inside."""
        state = self._sessions.hear(session)
        if state.over or room.room in state.rooms:
            return
        if self._door.left_lately(session, room.room):
            self._downlink.leave(session, room.topic)
            return
        try:
            room.enter(session.user)
        except ImError:
            self._downlink.leave(session, room.topic)
            return
        seat(state, room)
        state.tags[room.room] = tags

    def inside(self, session: Session, topic: str) -> None:
        """A gateway says that this session is in a room, `#tag` for each tag behind its topic."""
        name, *tags = topic.removeprefix(ROOM_PREFIX).split("#")
        room = None if self._told else self._table.peek(name)
        if room is not None and room.open:
            self._take(room, session, tuple(tags))
            return
        self._told.append((session, topic))
        self._due[name] += 1
        if name not in self._table.coming:
            self._table.coming[name] = asyncio.get_running_loop().create_future()
        if self._taking is None or self._taking.done():
            self._taking = asyncio.get_running_loop().create_task(self._take_told())

    async def _take_told(self) -> None:
        """In order; what the store does not say now is asked again."""
        taken = 0
        while self._told:
            session, topic = self._told[0]
            name, *tags = topic.removeprefix(ROOM_PREFIX).split("#")
            try:
                room = await self._table.read(name)
            except StoreError as error:
                _log.warning("who is in a room waits for the store: %s", error)
                await asyncio.sleep(AGAIN_S)
                continue
            except Exception:
                _log.exception("a room cannot be read, who is inside of it is not known")
                room = None
            if self._told and self._told[0] == (session, topic):
                self._told.popleft()
                try:
                    if room is not None:
                        self._take(room, session, tuple(tags))
                except Exception:
                    _log.exception("somebody who is inside of a room could not be taken in")
                finally:
                    self._done(name)
            taken += 1
            if taken % SLICE == 0:
                await asyncio.sleep(0)

    def _done(self, name: str) -> None:
        """One of those who are inside of this room is known, or is not any more."""
        self._due[name] -= 1
        if self._due[name] <= 0:
            del self._due[name]
            self._table.coming.pop(name).set_result(None)

    def left(self, node: int, conn: int, topic: str) -> None:
        """A gateway says that another process took this connection out of a room."""
        name = topic.removeprefix(ROOM_PREFIX)
        self._door.note_left(node, conn, name)
        state = self._sessions.get(Session(node, conn, "", ""))
        if state is not None and (room := state.rooms.get(name)) is not None:
            unseat(state, room)

    def afresh(self, node: int) -> None:
        """Who is in rooms through this gateway is not known any more."""
        self._afresh_ms = self._clock.elapsed_ms()
        told, self._told = self._told, deque()
        for session, topic in told:
            if session.node == node:
                self._done(topic.removeprefix(ROOM_PREFIX).partition("#")[0])
            else:
                self._told.append((session, topic))
        for room in self._table.live():
            for session in [each for sessions in room.members.values() for each in sessions.values()]:
                state = self._sessions.get(session) if session.node == node else None
                if state is not None and room.room in state.rooms:
                    unseat(state, room)

    async def close(self) -> None:
        if self._taking is not None:
            self._taking.cancel()
            await asyncio.gather(self._taking, return_exceptions=True)
        for coming in self._table.coming.values():
            coming.set_result(None)
        self._table.coming.clear()
