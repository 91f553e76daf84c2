"""A node id is held by one process: the second is refused at its start, and the first does not notice."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from control.bus.memory import MemoryBus, MemoryHub
from control.coordination.claim import NodeIdClaim
from control.errors import StartError


async def claim(hub: MemoryHub, epoch: int, *, starts: bool = True, dead_after_s: float = 5.0) -> NodeIdClaim:
    bus = MemoryBus(hub)
    await bus.start()
    made = NodeIdClaim(bus, (1, epoch), f"process-{epoch}", dead_after_s)
    if starts:
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


@pytest.mark.parametrize("epochs", [(1, 2), (2, 1)])
async def test_of_two_that_start_together_one_gets_it(epochs: tuple[int, int]) -> None:
    hub = MemoryHub()
    both = [await claim(hub, epoch, starts=False) for epoch in epochs]
    for one in both:  # nobody answers before both have asked
        one._bus.request = _slow(one._bus.request)  # type: ignore[method-assign]
    outcomes = await asyncio.gather(*(one.start() for one in both), return_exceptions=True)
    refused = [isinstance(outcome, StartError) for outcome in outcomes]
    assert refused == [epoch == 2 for epoch in epochs]


def _slow(ask: Callable[..., object]) -> Callable[..., object]:
    async def later(*arguments: object) -> object:
        await asyncio.sleep(0.01)
        return await ask(*arguments)  # type: ignore[misc]

    return later


async def test_a_holder_that_does_not_answer_for_the_dead_time_is_taken_for_dead() -> None:
    hub = MemoryHub()
    silent = MemoryBus(hub)
    await silent.respond("holder.1", lambda payload, answer: None)
    later = await claim(hub, 2, dead_after_s=0.5)
    assert problem(later) is None


async def test_two_that_met_after_the_bus_was_in_parts_are_not_ready_until_one_is_gone() -> None:
    hub, elsewhere = MemoryHub(), MemoryHub()
    one, two = await claim(hub, 1), await claim(elsewhere, 2)
    for heard in elsewhere.subscribers["claim.1"]:
        hub.subscribers["claim.1"].append(heard)
    two._bus._hub = hub  # type: ignore[attr-defined]
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
