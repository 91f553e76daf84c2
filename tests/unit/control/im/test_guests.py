"""What HTTP asks about a room whose im process died waits until the next one has heard who is inside."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import msgspec
import pytest

from control.bus.memory import MemoryBus
from control.coordination.base import NodeInfo
from control.coordination.beacons import BeaconCoordination
from control.im.guests import Guests, RoomsApi
from control.node_ids import Peer
from control.rendezvous import choose
from im_service.calls import Args
from im_service.errors import Code, ImError

OWN, LOST, GATEWAYS = (1, 10), (2, 20), ((7, 70), (8, 80))


def served(by: Peer) -> str:
    names = (f"hall{number}" for number in range(99))
    return next(name for name in names if choose(f"r/{name}", ["1", "2"]) == str(by[0]))


class World:
    """im process 1, beside another one and two gateways."""

    def __init__(self, wait_s: float = 5.0) -> None:
        self.coordination = BeaconCoordination(MemoryBus(), 1.0, 6.0)
        self.asked: list[str] = []
        self.guests = Guests(self.coordination, OWN, time.monotonic, wait_s)
        self.api = RoomsApi(self, self.guests)
        self.coordination.announce(NodeInfo(*OWN, "own", ("im",)))
        self.coordination._see(NodeInfo(*LOST, "lost", ("im",)))

    async def start(self, *, settled: bool = True) -> World:
        await self.guests.start()
        for gateway in GATEWAYS:
            self.coordination._see(NodeInfo(*gateway, f"gw{gateway[0]}", ("gateway",)))
            if settled:
                self.guests.told(gateway, OWN, False)
        return self

    async def call(self, method: str, arguments: Args | msgspec.Raw, user: str = "") -> Any:
        self.asked.append(method)
        return "answered"

    def ask(self, room: str, method: str = "room.online") -> asyncio.Task[object]:
        arguments = msgspec.Raw(msgspec.msgpack.encode({"room": room}))
        return asyncio.create_task(self.api.call(method, arguments))

    async def waits(self, question: asyncio.Task[object]) -> bool:
        done, _ = await asyncio.wait({question}, timeout=0.15)
        return not done


async def test_a_question_waits_for_the_word_of_every_gateway_and_only_about_rooms_that_moved() -> None:
    world = await World().start()
    early = world.ask(served(LOST))
    assert await world.waits(early), "whoever asks knows of the death already"
    world.coordination._forget(LOST[0], "silent")
    late, own = world.ask(served(LOST), "room.kick"), world.ask(served(OWN))
    assert await own == "answered"
    assert await world.api.call("devices", msgspec.Raw(msgspec.msgpack.encode({"user": "ann"}))) == "answered"
    world.guests.told(GATEWAYS[0], LOST, True)
    assert await world.waits(late)
    assert await world.waits(early)
    world.guests.told(GATEWAYS[1], LOST, True)
    assert [await early, await late] == ["answered", "answered"]


async def test_a_gateway_that_is_gone_or_knew_before_is_not_waited_for() -> None:
    world = await World().start()
    world.guests.told(GATEWAYS[0], LOST, True)
    world.coordination._forget(LOST[0], "silent")
    question = world.ask(served(LOST))
    assert await world.waits(question)
    world.coordination._forget(GATEWAYS[1][0], "silent")
    assert await question == "answered"


async def test_one_that_was_taken_for_dead_before_dies_like_any_other() -> None:
    world = await World().start()
    world.coordination._forget(LOST[0], "silent")
    for gone in (True, False):  # it stood still, and is there again: the same life of it
        for gateway in GATEWAYS:
            world.guests.told(gateway, LOST, gone)
        if gone:
            world.coordination._see(NodeInfo(*LOST, "lost", ("im",)))
    world.coordination._forget(LOST[0], "silent")
    question = world.ask(served(LOST))
    assert await world.waits(question)
    for gateway in GATEWAYS:
        world.guests.told(gateway, LOST, True)
    assert await question == "answered"


async def test_a_process_that_has_just_come_waits_for_the_gateways_that_it_hears() -> None:
    world = await World().start(settled=False)
    question = world.ask(served(OWN))
    assert await world.waits(question)
    for gateway in GATEWAYS:
        world.guests.told(gateway, OWN, False)
    assert await question == "answered"


async def test_who_waited_too_long_is_told_when_to_come_again_and_nothing_was_done() -> None:
    world = await World(wait_s=0.1).start()
    world.coordination._forget(LOST[0], "silent")
    with pytest.raises(ImError) as refused:
        await world.ask(served(LOST), "room.kick")
    assert (refused.value.code, refused.value.detail) == (Code.UNAVAILABLE, {"retry_after_ms": 1000})
    assert world.asked == []
