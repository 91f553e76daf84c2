"""A killed im process is known by the bus, before anything has run out; one that is only slow is not."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from control.bus.memory import MemoryBus, MemoryHub
from control.coordination.base import NodeInfo
from control.coordination.beacons import BeaconCoordination
from control.coordination.claim import NodeIdClaim
from control.node_ids import Peer

IM: Peer = (2, 200)


class Bus(MemoryBus):
    """Can be away, and come back."""

    away = False

    def __init__(self, hub: MemoryHub) -> None:
        super().__init__(hub)
        self.back: list[Callable[[], None]] = []

    @property
    def connected(self) -> bool:
        return not self.away

    def on_reconnect(self, callback: Callable[[], None]) -> None:
        self.back.append(callback)


class Watcher:
    """A process that heard an im process once, by a clock of its own; the other one's place on the bus."""

    def __init__(self, roles: tuple[str, ...]) -> None:
        self.hub = MemoryHub()
        self.bus = Bus(self.hub)
        self.now = 0.0
        self.coordination = BeaconCoordination(self.bus, 1.0, 6.0, clock=lambda: self.now)
        self.coordination.announce(NodeInfo(1, 100, "own", ("im",)))
        self.coordination._see(NodeInfo(*IM, "im", roles))

    async def hold(self, peer: Peer, silent: bool = False) -> MemoryBus:
        bus = MemoryBus(self.hub)
        await bus.start()
        if silent:
            await bus.respond(f"holder.{peer[0]}", lambda payload, answer: None)
        else:
            await NodeIdClaim(bus, peer, "im", 0.1).start()
        return bus

    async def beacons(self, count: int) -> None:
        for _ in range(count):
            self.now += 1.0
            self.coordination.expire()
            self.coordination.look()
            task = self.coordination._absences._task
            if task is not None:
                await task

    @property
    def knows(self) -> bool:
        return self.coordination.epoch_of(IM[0]) == IM[1]


@pytest.fixture
def watcher() -> Watcher:
    return Watcher(("im",))


async def test_who_is_unknown_to_the_bus_is_gone_after_three_beacons(watcher: Watcher) -> None:
    bus = await watcher.hold(IM)
    await watcher.beacons(4)
    assert watcher.knows, "it is connected, and only its beacons are late"
    watcher.coordination.hear(IM, "im")
    await bus.close()
    await watcher.beacons(2)
    assert watcher.knows, "asked once"
    await watcher.beacons(1)
    assert not watcher.knows
    assert watcher.coordination.hear(IM, "im"), "it had only lost the bus"
    assert watcher.knows


async def test_who_stands_still_is_not_taken_for_dead_by_its_silence(watcher: Watcher) -> None:
    await watcher.hold(IM, silent=True)
    await watcher.beacons(5)
    assert watcher.knows


async def test_another_life_that_holds_the_number_says_that_this_one_is_over(watcher: Watcher) -> None:
    await watcher.hold((IM[0], 201))
    await watcher.beacons(3)
    assert not watcher.knows


async def test_an_own_connection_that_is_away_proves_nothing(watcher: Watcher) -> None:
    watcher.bus.away = True
    await watcher.beacons(5)
    assert watcher.knows
    watcher.bus.away = False
    watcher.coordination.hear(IM, "im")
    await watcher.beacons(2)
    for each in watcher.bus.back:
        each()  # away and back between two looks: the others come back as well
    await watcher.beacons(1)
    assert watcher.knows


@pytest.mark.parametrize("roles", [("gateway",), ("gateway", "im"), ("control",)])
async def test_nobody_waits_for_others_so_they_have_their_time(roles: tuple[str, ...]) -> None:
    watcher = Watcher(roles)
    await watcher.beacons(5)
    assert watcher.knows
