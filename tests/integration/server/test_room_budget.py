"""A chatroom's budget, over real sockets and two loops: what is within it arrives, whatever members do;
what is above it is counted.
"""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from tests.support.chat_link import PlainLink
from tests.support.chat_world import eventually
from tests.support.server_process import ServerProcess

LISTENERS = 6
NORMAL, HIGH = 20, 10
numbers = itertools.count()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    with ServerProcess(tmp_path_factory.mktemp("budget"), {"gateway.loops": 2}) as running:
        yield running


class Hall:
    """A new room with a speaker, listeners on both loops, and a member who is muted."""

    def __init__(self, room: str, speaker: PlainLink, rogue: PlainLink, listeners: list[PlainLink]) -> None:
        self.room = room
        self.speaker = speaker
        self.rogue = rogue
        self.listeners = listeners

    async def say(self, text: str, **options: Any) -> int:
        return (await self.speaker.send(f"r/{self.room}", text, text, **options)).code

    async def info(self) -> dict[str, Any]:
        code, found = await self.speaker.call("room.info", room=self.room)
        assert code == 0
        return dict(found)

    async def all_heard_or_counted(self, sent: int, kind: str) -> dict[str, Any]:
        """The room's info when of so many all listeners heard those that it does not count."""

        async def told() -> bool:
            missed = (await self.info())[f"dropped_{kind}"]
            heard = set.intersection(*(set(link.room_texts(self.room)) for link in self.listeners))
            return len(heard) == sent - missed

        await eventually(told, f"heard or counted {sent}")
        return await self.info()


@asynccontextmanager
async def hall(server: ServerProcess, **changes: Any) -> AsyncIterator[Hall]:
    n = next(numbers)
    room = f"hall{n}"
    # Users of its own: one who logs in again and again begins with fewer frames each time.
    users = [f"{name}{n}" for name in ("speaker", "rogue", *(f"listener{i}-" for i in range(LISTENERS)))]
    assert server.post("/v1/rooms", {"room": room, "owner": users[0], **changes})[0] == 200
    links = [await PlainLink.open(server, server.token(user), f"phone{n}") for user in users]
    for link in links:
        assert (await link.call("room.join", room=room))[0] == 0
    assert (await links[0].call("room.mute", room=room, user=users[1]))[0] == 0
    try:
        yield Hall(room, links[0], links[1], links[2:])
    finally:
        for link in links:
            link.close()


@asynccontextmanager
async def storm(there: Hall) -> AsyncIterator[None]:
    """The muted member comes and goes; begun when their notices are more than the room gets."""

    async def come_and_go() -> None:
        while True:
            await there.rogue.call("room.leave", room=there.room)
            await there.rogue.call("room.join", room=there.room)
            await there.rogue.call("room.queue.put", room=there.room, key="me", value="look at me")

    async def raging() -> bool:
        return bool((await there.info())["dropped_notices"])

    task = asyncio.create_task(come_and_go())
    try:
        await eventually(raging, "saw a storm")
        yield
        assert not task.done(), "it went on all the time"
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_a_muted_member_who_comes_and_goes_costs_nobody_a_message(server: ServerProcess) -> None:
    async with hall(server, normal_per_s=48) as there, storm(there):
        texts = [f"m{n}" for n in range(48)]
        assert await asyncio.gather(*map(there.say, texts)) == [0] * 48
        info = await there.all_heard_or_counted(48, "normal")
        assert (info["dropped_normal"], info["dropped_high"]) == (0, 0)
        assert all(set(link.room_texts(there.room)) == set(texts) for link in there.listeners)


async def test_what_the_owner_decides_is_heard_through_a_storm_of_notices(server: ServerProcess) -> None:
    async with hall(server) as there, storm(there):
        assert (await there.speaker.call("room.mute_all", room=there.room, on=True))[0] == 0

        async def all_told() -> bool:
            return all(link.notices("room.mute_all") for link in there.listeners)

        await eventually(all_told, "told everybody")


async def test_of_sixty_high_ones_at_once_thirty_arrive_and_the_rest_is_counted(
    server: ServerProcess,
) -> None:
    async with hall(server) as there:
        began = time.monotonic()
        codes = await asyncio.gather(*(there.say(f"h{n}", highPriority=True) for n in range(60)))
        assert codes == [0] * 60
        late = int((time.monotonic() - began) * (NORMAL + HIGH)) + 1
        info = await there.all_heard_or_counted(60, "high")
        assert NORMAL + HIGH <= 60 - info["dropped_high"] <= NORMAL + HIGH + late
        assert info["dropped_normal"] == 0


async def test_high_ones_arrive_behind_normal_ones_as_though_those_were_not_there(
    server: ServerProcess,
) -> None:
    async with hall(server) as there:
        await asyncio.gather(*(there.say(f"n{n}") for n in range(60)))
        await asyncio.gather(*(there.say(f"h{n}", highPriority=True) for n in range(NORMAL + HIGH)))

        info = await there.all_heard_or_counted(60 + NORMAL + HIGH, "normal")
        assert info["dropped_high"] == 0
        assert info["dropped_normal"] > 0


async def test_a_room_changes_its_budget_for_those_who_are_in_it(server: ServerProcess) -> None:
    async with hall(server) as there:
        sent = heard = 0
        for limit, rate in ((5, 5.0), (None, 0.0), (NORMAL, -1.0)):
            assert (await there.speaker.call("room.update", room=there.room, normal_per_s=rate))[0] == 0
            began = time.monotonic()
            await asyncio.gather(*(there.say(f"{rate}-{n}") for n in range(50)))
            late = int((time.monotonic() - began) * NORMAL) + 1
            sent += 50
            info = await there.all_heard_or_counted(sent, "normal")
            got, heard = sent - info["dropped_normal"] - heard, sent - info["dropped_normal"]
            assert (got == 50) if limit is None else (limit <= got <= limit + late), (rate, got)
        total = server.metrics()["qianwan_im_room_dropped_normal_total"]
        assert total >= info["dropped_normal"]
