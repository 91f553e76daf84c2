"""Whose age is over moves where LBS would place it now; the idle make room. Both at a bounded rate."""

from __future__ import annotations

from qianwan.protocol.messages import parse_goaway

from control.coordination.base import NodeInfo
from control.gateway.drain import Drain, DrainOrder
from control.gateway.leaving import Picked
from control.gateway.moves import STEP_S, Moves
from control.gateway.redirect import Redirect
from control.settings.storms import LeavingSection
from tests.support.leaving_core import Clock, Full, LeavingCore


def node(node_id: int, **more: object) -> NodeInfo:
    return NodeInfo(node_id, 1, "", ("gateway",), "192.0.2.7", 7800 + node_id, **more)


class Stage:
    def __init__(self, *nodes: NodeInfo, per_s: float = 20) -> None:
        self.core, self.clock = LeavingCore(1), Clock()
        redirect = Redirect(lambda: nodes, 1, "", "", 3)
        settings = LeavingSection(per_s=per_s, deadline_s=9)
        self.drain = Drain(self.core, 1, redirect, (Full,), clock=self.clock)
        self.moves = Moves(
            self.core, 1, redirect, settings, (Full,), self.clock, lambda: self.drain.order is not None
        )
        self.core.hears = self

    def on_picked(self, conn: int, user: str, device: str, websocket: bool) -> None:
        """As control/gateway/role.py has it."""
        who = self.moves if self.drain.order is None else self.drain
        who.on_picked(conn, user, device, websocket)

    def run(self, seconds: float) -> int:
        before = len(self.core.told)
        for _ in range(round(seconds / STEP_S)):
            self.moves.step()
            self.clock.now += STEP_S
        return len(self.core.told) - before


async def test_the_aged_are_told_at_the_rate_and_closed_by_the_code_of_age() -> None:
    stage = Stage(node(1), node(2))
    for number in range(100):
        stage.moves.on_aged(Picked(stage.core.add(f"u{number}"), f"u{number}", "d", False))
    assert 38 <= stage.run(2) <= 43
    assert {(after, code) for _, _, after, code in stage.core.told} == {(9, 1002)}
    stage.run(10)
    assert (len(stage.core.told), stage.moves.aged) == (100, 100)


async def test_another_rate_and_deadline_hold_while_people_are_told() -> None:
    stage = Stage(node(1), node(2))
    for number in range(500):
        stage.moves.on_aged(Picked(stage.core.add(f"u{number}"), f"u{number}", "d", False))
    stage.run(1)
    stage.moves.set(LeavingSection(per_s=100, deadline_s=3))
    assert 180 <= stage.run(2) <= 220
    assert [after for _, _, after, _ in stage.core.told][-1] == 3


async def test_a_gateway_that_joined_gets_its_share_of_them_and_no_more() -> None:
    nodes = [node(number, capacity=1000, connections=500) for number in (1, 2)]
    joined = node(3, capacity=1000, connections=0)
    stage = Stage(*nodes, joined, per_s=10_000)
    for number in range(600):
        stage.moves.on_aged(Picked(stage.core.add(f"u{number}"), f"u{number}", "d", False))
    stage.run(5)
    first = [parse_goaway(body).addresses[0] for _, body, _, _ in stage.core.told]
    to_joined = sum(address.endswith(":7803") for address in first)
    assert 300 <= to_joined <= 480, "its own third, and of the others who had it as their second choice"
    assert any(address.endswith(":7801") for address in first), "who is placed here comes back here"


async def test_the_idle_make_room_until_it_is_enough() -> None:
    stage = Stage(node(1), node(2))
    for number in range(50):
        stage.core.add(f"u{number}", silent=number % 2 == 0)
    stage.moves.make_room(True)
    assert 18 <= stage.run(1) <= 23
    stage.moves.make_room(False)
    assert stage.run(1) <= 5, "those that were found already"
    assert stage.run(1) == 0
    stage.moves.make_room(True)
    stage.run(5)
    users = stage.core.told_users()
    assert sorted(users) == sorted(f"u{number}" for number in range(0, 50, 2)), "who talks stays"
    notice = parse_goaway(stage.core.told[0][1])
    assert (notice.code, notice.addresses) == (2000, ("tcp://192.0.2.7:7802",))


async def test_a_core_that_takes_no_command_loses_nobody() -> None:
    stage = Stage(node(1), node(2), per_s=100)
    stage.moves.on_aged(Picked(stage.core.add("ann"), "ann", "d", False))
    stage.core.full = True
    assert stage.run(1) == 0
    stage.core.full = False
    assert stage.run(1) == 1


async def test_a_core_that_is_full_for_a_moment_goes_on_being_asked_for_the_idle() -> None:
    stage = Stage(node(1), node(2), per_s=100)
    stage.core.add("ann")
    stage.core.full = True
    stage.moves.make_room(True)
    assert stage.run(1) == 0
    stage.core.full = False
    assert stage.run(1) == 1


async def test_the_idle_make_room_after_a_drain_that_took_their_answers() -> None:
    stage = Stage(node(1), node(2))
    for number in range(50):
        stage.core.add(f"u{number}")
    stage.core.slow = True
    stage.moves.make_room(True)
    stage.run(0.1)
    stage.drain.apply(DrainOrder(rate=1000))
    stage.core.answer()
    stage.core.slow = False
    assert stage.run(1) == 0, "the drain tells them, and its picks are left alone"
    stage.drain.apply(None)
    assert stage.run(5) == 50


async def test_who_was_picked_by_a_drain_that_ended_meanwhile_stays() -> None:
    stage = Stage(node(1), node(2))
    stage.moves.on_picked(stage.core.add("ann"), "ann", "d", False)
    assert stage.run(1) == 0
