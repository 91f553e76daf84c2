"""A node id is held by one process: the second is refused at its start, and the first does not notice."""

from __future__ import annotations

import asyncio

import pytest

from control.bus.memory import MemoryBus, MemoryHub
from control.coordination.claim import NodeIdClaim, NodeNameClaim
from control.errors import StartError


class SlowBus(MemoryBus):
    """Answers no request before everybody who starts with it has asked."""

    async def request(
        self, subject: str, payload: bytes, timeout_s: float, nobody_s: float | None = None
    ) -> bytes:
        await asyncio.sleep(0.01)
        return await super().request(subject, payload, timeout_s, nobody_s)


async def opened(hub: MemoryHub, kind: type[MemoryBus] = MemoryBus) -> MemoryBus:
    bus = kind(hub)
    await bus.start()
    return bus


def claiming(bus: MemoryBus, epoch: int, dead_after_s: float = 5.0) -> NodeIdClaim:
    return NodeIdClaim(bus, (1, epoch), f"process-{epoch}", dead_after_s)


async def claim(hub: MemoryHub, epoch: int, dead_after_s: float = 5.0) -> NodeIdClaim:
    made = claiming(await opened(hub), epoch, dead_after_s)
    await made.start()
    return made


def problem(of: NodeIdClaim) -> str | None:
    return of.checks()["node_id"]()


@pytest.mark.parametrize("second", [20, 5])
async def test_a_taken_node_id_is_refused_with_one_line_and_costs_its_holder_nothing(second: int) -> None:
    hub = MemoryHub()
    first = await claim(hub, 10)
    with pytest.raises(StartError, match=r"node id 1 is taken by process-10: [^\n]*$"):
        await claim(hub, second)
    await asyncio.sleep(0)
    assert problem(first) is None


async def test_a_name_that_was_given_belongs_to_one_process_and_other_names_are_free() -> None:
    hub = MemoryHub()
    first, second, other = [
        NodeNameClaim(await opened(hub), (number, number), name, 5.0)
        for number, name in ((1, "gw one"), (2, "gw one"), (3, "gw.one"))
    ]
    await first.start()
    await other.start()
    with pytest.raises(StartError, match=r"the name gw one is taken by node id 1: .* \[server\] node_name$"):
        await second.start()
    await asyncio.sleep(0)
    assert [claim.remarks()["node_name"]() for claim in (first, other)] == [None, None]


@pytest.mark.parametrize("epochs", [(1, 2), (2, 1)])
async def test_of_two_that_start_together_one_gets_it(epochs: tuple[int, int]) -> None:
    hub = MemoryHub()
    both = [claiming(await opened(hub, SlowBus), epoch) for epoch in epochs]
    outcomes = await asyncio.gather(*(one.start() for one in both), return_exceptions=True)
    refused = [isinstance(outcome, StartError) for outcome in outcomes]
    assert refused == [epoch == 2 for epoch in epochs]


async def test_a_holder_that_does_not_answer_for_the_dead_time_is_taken_for_dead() -> None:
    hub = MemoryHub()
    silent = MemoryBus(hub)
    await silent.respond("holder.1", lambda payload, answer: None)
    later = await claim(hub, 2, dead_after_s=0.5)
    assert problem(later) is None


async def test_two_that_met_after_the_bus_was_in_parts_are_not_ready_until_one_is_gone() -> None:
    hub = MemoryHub()
    one, two = await claim(hub, 1), claiming(await opened(hub), 2)
    two._held = True  # it asked in the other part
    hub.subscribers["claim.1"].append(two._heard)
    two.again()
    await asyncio.sleep(0.01)
    assert (problem(one), problem(two)) == ("also held by process-2", "also held by process-1")
    for _ in range(3):
        await one.tick()
        await two.tick()
        await asyncio.sleep(0.01)
    assert (problem(one), problem(two)) == ("also held by process-2", "also held by process-1")
    hub.subscribers["claim.1"].remove(two._heard)
    for _ in range(3):
        await one.tick()
        await asyncio.sleep(0.01)
    assert problem(one) is None
