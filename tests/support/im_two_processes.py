"""Two im processes over one store and one downlink, whose words to each other a test carries."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec

from im_service.context import Ports
from im_service.ports import LiveDevices, Session
from im_service.service import ImService
from tests.support.im_downlink import Connection, RecordingDownlink
from tests.support.im_world import Person, World, open_world


class Wire:
    """Carries changes from one service to the other, as the bus does."""

    def __init__(self) -> None:
        self.other: ImService | None = None
        self.words: list[tuple[str, str]] = []

    def changed(self, kind: str, key: str) -> None:
        self.words.append((kind, key))

    async def deliver(self) -> None:
        assert self.other is not None
        words, self.words = self.words, []
        for kind, key in words:
            await self.other.on_peer_change(kind, key)
        await self.other.settle()


class Everywhere:
    """Presence from the gateways' side."""

    def __init__(self, downlink: RecordingDownlink) -> None:
        self._downlink = downlink

    def online(self, user: str) -> bool:
        return bool(self._of(user))

    async def devices(self, users: Sequence[str]) -> dict[str, LiveDevices]:
        return {user: self._of(user) for user in users}

    def _of(self, user: str) -> LiveDevices:
        connections = self._downlink.connections.values()
        return [(c.session.device, 1) for c in connections if c.session.user == user]


def second(world: World, wire: Wire) -> ImService:
    return ImService(world.store, Ports(world.downlink, world.clock, wire, Everywhere(world.downlink)))


async def at(other: ImService, world: World, person: Person, method: str, **args: object) -> object:
    """A call that another process answers."""
    request = next(world.numbers)
    other.on_call(person.session, request, method, msgspec.msgpack.encode(args))
    return (await person.answer(request))[1]


@asynccontextmanager
async def two_processes(folder: Path) -> AsyncIterator[tuple[World, ImService, Wire, Wire]]:
    """-> the world with the first, the second, and what each says to the other: there, back."""
    there, back = Wire(), Wire()
    async with open_world(folder, peers=there) as world:
        other = second(world, back)
        there.other, back.other = other, world.im
        yield world, other, there, back
        await other.stop()


def begin(other: ImService, world: World, user: str, device: str = "phone") -> Connection:
    """A login that another process answers; nobody waits for it."""
    number = next(world.numbers)
    session = Session(1, number, user, device)
    connection = world.downlink.connect(session, number)
    other.on_login(session, 1, number)
    return connection
