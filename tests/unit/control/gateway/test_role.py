"""What the gateway's part of a process does once a second."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

from control.gateway.role import GatewayPart
from control.settings.build import build


async def test_a_bus_that_stands_still_holds_up_no_tick_and_is_asked_again() -> None:
    answers: list[asyncio.Future[None]] = []

    async def hear() -> None:
        answers.append(asyncio.get_running_loop().create_future())
        await answers[-1]

    ticks: list[str] = []
    nothing: Any = SimpleNamespace(stats=lambda: {"closed_by_reason": {}})
    part: Any = SimpleNamespace(tick=lambda: ticks.append("tick"), shares=True, order=None)
    gateway = GatewayPart(
        build({}), nothing, nothing, nothing, nothing, nothing, part, part, part, part,
        alone=lambda: False, hear_gateways=hear, settle=hear,
    )  # fmt: skip
    await gateway.tick()
    await asyncio.sleep(0)
    await gateway.tick()
    assert (len(ticks), len(answers)) == (4, 1), "it is under way"
    answers[0].set_exception(TimeoutError("flush"))
    await asyncio.sleep(0.01)
    await gateway.tick()
    await asyncio.sleep(0)
    assert len(answers) == 2
    answers[1].set_result(None)
    await asyncio.sleep(0.01)
    await gateway.tick()
    await asyncio.sleep(0)
    assert len(answers) == 2, "they are heard"
