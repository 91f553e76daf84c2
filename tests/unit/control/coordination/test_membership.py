"""Who hears of the nodes of the cluster: by role, and also of those that were there before."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import msgspec
import pytest

from control.bus.memory import MemoryBus
from control.coordination.base import NodeInfo
from control.coordination.beacons import GATEWAY_SUBJECT, BeaconCoordination

encode = msgspec.msgpack.encode
Change = tuple[int, int, bool]


def node(number: int, role: str, epoch: int = 100) -> NodeInfo:
    return NodeInfo(number, epoch, f"n{number}", (role,))


async def test_changes_go_to_those_who_asked_for_the_role() -> None:
    coordination = BeaconCoordination(MemoryBus(), 1.0, 6.0)
    heard: dict[str | None, list[Change]] = {"gateway": [], "im": [], None: []}
    coordination._see(node(1, "gateway"))
    for role, changes in heard.items():
        coordination.on(role, lambda info, alive, to=changes: to.append((info.node_id, info.epoch, alive)))
    coordination._see(node(2, "im"))
    coordination._see(node(1, "gateway"))  # a beacon, nothing new
    coordination._see(node(1, "gateway", 101))
    gateway = [(1, 100, True), (1, 100, False), (1, 101, True)]
    assert heard["gateway"] == gateway, "also the one that was there before"
    assert heard["im"] == [(2, 100, True)]
    assert heard[None] == [gateway[0], (2, 100, True), *gateway[1:]]


async def test_gateways_are_heard_of_once_the_bus_takes_the_subscription() -> None:
    class StandsStill(MemoryBus):
        still = True

        async def subscribe(self, subject: str, handler: Callable[[bytes], None]) -> None:
            if self.still:
                raise TimeoutError
            await super().subscribe(subject, handler)

    bus = StandsStill()
    await bus.start()
    coordination = BeaconCoordination(bus, 1.0, 6.0, hears_gateways=False)
    with pytest.raises(TimeoutError):
        await coordination.hear_gateways()
    bus.still = False
    await asyncio.gather(coordination.hear_gateways(), coordination.hear_gateways())
    bus.publish(GATEWAY_SUBJECT, encode([node(2, "gateway")]))
    await asyncio.sleep(0)
    assert [info.node_id for info in coordination.nodes("gateway")] == [2]


def watched(*, own: NodeInfo | None = None) -> tuple[BeaconCoordination, list[Change], list[float]]:
    now, changes = [0.0], list[Change]()
    coordination = BeaconCoordination(MemoryBus(), 1.0, 6.0, clock=lambda: now[0])
    coordination.on("gateway", lambda info, alive: changes.append((info.node_id, info.epoch, alive)))
    if own is not None:
        coordination.announce(own)
    return coordination, changes, now


@pytest.mark.parametrize("second", [101, 99], ids=["clock right", "the first one's clock was ahead"])
async def test_a_restart_is_the_live_epoch_whatever_its_number(second: int) -> None:
    coordination, changes, _ = watched()
    coordination._see(node(1, "gateway", 100))
    coordination._see(node(1, "gateway", second))
    assert changes == [(1, 100, True), (1, 100, False), (1, second, True)]
    coordination._see(node(1, "gateway", 100))  # late on its way, or still alive
    assert coordination.epoch_of(1) == second


@pytest.mark.parametrize("leaves", [True, False])
async def test_who_had_a_node_id_first_is_heard_again_when_the_intruder_is_gone(leaves: bool) -> None:
    coordination, changes, now = watched()
    coordination._see(node(1, "gateway", 100))
    coordination._see(node(1, "gateway", 7))
    if leaves:
        coordination._on_beacon(encode([node(1, "gateway", 7), True]))
    else:
        for _ in range(7):
            now[0] += 1.0
            coordination.expire()
    coordination._see(node(1, "gateway", 100))
    assert coordination.epoch_of(1) == 100
    assert changes[-2:] == [(1, 7, False), (1, 100, True)]


async def test_a_word_of_a_process_proves_that_it_lives_before_its_first_beacon() -> None:
    coordination, changes, _ = watched()
    assert coordination.hear((1, 100), "gateway")
    assert coordination.hear((1, 100), "gateway")
    assert (coordination.epoch_of(1), changes) == (100, [(1, 100, True)])
    assert coordination.nodes() == [], "nobody can be sent to it yet"
    both = msgspec.structs.replace(node(1, "gateway", 100), roles=("gateway", "im"))
    ims: list[Change] = []
    coordination.on("im", lambda info, alive: ims.append((info.node_id, info.epoch, alive)))
    coordination._see(both)
    assert (changes, ims) == ([(1, 100, True)], [(1, 100, True)]), "each role is told once"
    assert coordination.nodes("gateway") == [both]


async def test_a_word_of_one_that_left_or_was_replaced_proves_nothing() -> None:
    coordination, changes, _ = watched()
    for epoch in (100, 101):
        coordination._see(node(1, "gateway", epoch))
    assert not coordination.hear((1, 100), "gateway")
    coordination._on_beacon(encode([node(1, "gateway", 101), True]))
    assert not coordination.hear((1, 101), "gateway"), "its last words, repaired late"
    assert coordination.hear((1, 100), "gateway")
    assert [change[1:] for change in changes] == [
        (100, True), (100, False), (101, True), (101, False), (100, True)
    ]  # fmt: skip


async def test_nobody_takes_the_own_node_id_from_who_holds_it() -> None:
    coordination, changes, _ = watched(own=node(1, "gateway", 100))
    coordination._see(node(1, "gateway", 101))
    assert (coordination.epoch_of(1), changes) == (100, [(1, 100, True)])


async def test_one_that_fails_keeps_the_change_from_no_other() -> None:
    coordination = BeaconCoordination(MemoryBus(), 1.0, 6.0)
    heard: list[int] = []

    def fails(info: NodeInfo, alive: bool) -> None:
        raise ValueError("no")

    coordination.on(None, fails)
    coordination.on(None, lambda info, alive: heard.append(info.node_id))
    coordination._see(node(1, "gateway"))
    assert heard == [1]
