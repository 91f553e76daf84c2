"""What a gateway says of who is inside is taken in, whatever becomes of one room."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any, cast

from frame.constants import ROOM_PREFIX
from im_service.chatrooms.moves import RoomMoves
from im_service.ports import Session


class Rooms:
    """Of which one is a row that nothing can be made of, and another takes nobody in."""

    def __init__(self) -> None:
        self.coming: dict[str, asyncio.Future[None]] = {}
        self.entered: list[str] = []

    def peek(self, name: str) -> None:
        return None

    async def read(self, name: str) -> Any:
        if name == "unreadable":
            raise ValueError("no row of a room")
        return SimpleNamespace(
            room=name,
            topic=ROOM_PREFIX + name,
            enter=lambda user: self._enter(name),
            enters=lambda session: None,
            lingering={},
        )

    def _enter(self, name: str) -> None:
        if name == "odd":
            raise KeyError(name)
        self.entered.append(name)


def state_of(session: Session) -> Any:
    return SimpleNamespace(session=session, over=False, rooms={}, tags={})


async def test_who_waits_behind_a_room_that_cannot_be_read_waits_for_a_moment_only() -> None:
    rooms = Rooms()
    sessions = SimpleNamespace(hear=state_of)
    context = SimpleNamespace(rooms=rooms, sessions=sessions, downlink=None, clock=None)
    door = SimpleNamespace(left_lately=lambda session, room: False)
    moves = RoomMoves(cast(Any, context), cast(Any, door))
    for number, name in enumerate(("unreadable", "odd", "good", "unreadable")):
        moves.inside(Session(1, number, "u", "d"), ROOM_PREFIX + name)
    async with asyncio.timeout(20):
        await asyncio.gather(*rooms.coming.values())
    assert rooms.entered == ["good"]
    assert not rooms.coming
    await moves.close()
