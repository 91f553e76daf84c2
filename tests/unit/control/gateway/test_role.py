"""What the gateway's part of a process does once a second."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

from control.gateway.drain import DrainOrder
from control.gateway.role import GatewayPart
from control.settings.build import build


async def test_a_bus_that_stands_still_holds_up_no_tick_and_is_asked_again() -> None:
    answers: list[asyncio.Future[None]] = []

    async def hear() -> None:
        answers.append(asyncio.get_running_loop().create_future())
        await answers[-1]

    ticks: list[str] = []
    nothing: Any = SimpleNamespace(stats=lambda: {"closed_by_reason": {}})
    part: Any = SimpleNamespace(tick=lambda: ticks.append("tick"), shares=True, order=None, tells=False)
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


async def test_a_gateway_that_is_cut_off_alone_sends_its_clients_away_but_for_an_operator_s_order() -> None:
    applied: list[DrainOrder | None] = []

    class Leaving:
        order: DrainOrder | None = None
        waits = False

        def apply(self, order: DrainOrder | None) -> None:
            self.order = order
            applied.append(order)

    async def nothing() -> None:
        return

    core: Any = SimpleNamespace(stats=lambda: {"live": {"sessions": 500}}, end_parked=lambda code: None)
    rest: Any = SimpleNamespace(shares=False)
    leaving: Any = Leaving()
    gateway = GatewayPart(
        build({"server": {"drain_spread_s": 10}}), rest, core, rest, rest, rest, rest, leaving, rest, rest,
        alone=lambda: False, hear_gateways=nothing, settle=nothing,
    )  # fmt: skip
    ordered = DrainOrder(rate=7)
    gateway.send_away(True)
    assert (leaving.order.rate, leaving.order.force) == (50, True), (
        "all within the spread, though none is heard"
    )
    assert gateway.checks()["drain"]() == "cut off from the bus: its clients are sent away"
    assert gateway.cut_off, "LBS on its side shall not name it"
    assert not gateway.names_others(), "nobody else can be heard of"
    gateway.order_drain(ordered)
    assert (leaving.order.rate, leaving.order.force) == (7, True)
    gateway.send_away(False)
    assert (leaving.order, gateway.checks()["drain"]()) == (ordered, "drained by order")
    gateway.order_drain(None)
    assert applied[-1] is None
