"""A room is served by another im process when the set of im processes changes: who is inside goes along.

The connections stay in the room's topics all the time; what moves is who knows them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from im_service.chatrooms.door import seat, unseat
from im_service.context import ServiceContext
from im_service.errors import ImError
from im_service.ids import tag_topic
from im_service.ports import Session
from im_service.turns import SLICE

GUEST = "guest"
"""Kind of a word to the process that serves the room from now on."""
Tell = Callable[[str, str], None]
Way = Callable[[str], Tell | None]
"""To the process that serves a topic; None where it is this one."""


class RoomMoves:
    """`hand_over` at the one process becomes `take_over` at the other, once for each guest."""

    def __init__(self, context: ServiceContext) -> None:
        self._table = context.rooms
        self._sessions = context.sessions
        self._downlink = context.downlink

    async def hand_over(self, way: Way) -> None:
        """All guests of rooms that another process serves, some hundred between two turns of the loop."""
        said = 0
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
        """Whoever may be in the room no more is out."""
        name, node, conn, user, device, *tags = key.split(" ")
        session = Session(int(node), int(conn), user, device)
        room = await self._table.get(name)
        state = self._sessions.hear(session)
        if state.over or name in state.rooms:
            return
        try:
            room.enter(user)
        except ImError:
            for topic in (room.topic, *(tag_topic(room.topic, tag) for tag in tags)):
                self._downlink.leave(session, topic)
            return
        seat(state, room)
        state.tags[name] = tuple(tags)
