"""Im processes start while people log in: whether anybody is deaf afterwards."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Callable, Sequence
from functools import partial

import msgspec
import qianwan

from frame.constants import GROUP_PREFIX
from program.access import Access, NoAccess
from program.cluster.crowd import EAGER
from program.cluster.local import LocalCluster
from program.cluster.people import Person, until

BETWEEN_S = 0.05
AGAIN_S = 0.1
OVER_S = 11.0
"""An im process that started tells everybody to look, which hides who is deaf: this is over by then."""
QUIET_S = 20.0
INSIST_S = 30.0


class Comer(Person):
    """Keeps what it hears."""

    def __init__(self, name: str, urls: Sequence[str], token: str, room: str) -> None:
        super().__init__(name, urls, token, room, backoff=EAGER)
        self.heard: set[str] = set()

    async def enter(self) -> qianwan.Room:
        while True:
            try:
                return await super().enter()
            except qianwan.RequestError:
                await asyncio.sleep(AGAIN_S)

    def hear(self, message: qianwan.Message) -> None:
        self.heard.add(message.text)

    def hear_in_room(self, message: qianwan.Message) -> None:
        self.heard.add(message.text)


class Deaf(msgspec.Struct, frozen=True):
    """How many did not hear a word in the group, one in the room, or that they were put out."""

    group: int
    room: int
    kicks: int


async def starts(cluster: LocalCluster, users: int, times: int) -> list[Deaf]:
    """One for each time that all im processes were killed and started again while all users came."""
    access = Access(cluster.plan.lbs[0], cluster.api_key())
    names = [f"s{secrets.token_hex(3)}-{number}" for number in range(users)]
    tokens = [await asyncio.to_thread(access.token, name) for name in names]
    group = await asyncio.to_thread(access.group, names[0], names[1:])
    found = []
    for number in range(times):
        room = f"{group}-{number}"
        await asyncio.to_thread(access.room, room)
        people = [Comer(*each, room) for each in zip(names, [cluster.plan.lbs] * users, tokens, strict=True)]
        try:
            await _come_around_a_start(cluster, people)
            found.append(await _deaf(access, group, people))
        finally:
            await asyncio.gather(*(each.go() for each in people))
    return found


async def _come_around_a_start(cluster: LocalCluster, people: list[Comer]) -> None:
    """Some before it is there, some while it comes, some after."""
    processes = [each.name for each in cluster.plan.of("im")]
    await asyncio.to_thread(cluster.kill, *processes)
    async with asyncio.TaskGroup() as group:
        group.create_task(asyncio.to_thread(cluster.start, processes))
        for each in people:
            group.create_task(each.come())
            await asyncio.sleep(BETWEEN_S)


async def _insist(ask: Callable[[], None]) -> None:
    """A call may be refused until the cluster knows who is left. Raises NoAccess when it is for long."""
    until_s = time.monotonic() + INSIST_S
    while True:
        try:
            return await asyncio.to_thread(ask)
        except NoAccess:
            if time.monotonic() > until_s:
                raise
        await asyncio.sleep(AGAIN_S)


async def _deaf(access: Access, group: str, people: list[Comer]) -> Deaf:
    await asyncio.sleep(OVER_S)
    one, *others = people
    to_all = f"to all {secrets.token_hex(4)}"
    await _insist(partial(access.say, one.name, GROUP_PREFIX + group, to_all))
    await one.room.send("to the room")
    await until(lambda: all({to_all, "to the room"} <= each.heard for each in others), QUIET_S)
    for each in people:
        await _insist(partial(access.kick, each.name))
    await until(lambda: all(each.client.state is qianwan.State.CLOSED for each in people), QUIET_S)
    return Deaf(
        group=sum(to_all not in each.heard for each in others),
        room=sum("to the room" not in each.heard for each in others),
        kicks=sum(each.client.state is not qianwan.State.CLOSED for each in people),
    )
