"""A drain tells each session once, at its rate, where to go; it stops at once, and can be changed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import msgspec
import pytest
from qianwan.protocol.messages import parse_goaway

from control.coordination.base import NodeInfo
from control.gateway.drain import STEP_S, Drain, DrainOrder
from control.gateway.leaving import ANSWER_S
from control.gateway.redirect import Redirect
from tests.support.leaving_core import Clock, Full, LeavingCore

OWN = 1


def node(node_id: int, **more: object) -> NodeInfo:
    return NodeInfo(node_id, 1, f"node-{node_id}", ("gateway",), "192.0.2.7", 7800 + node_id, **more)


class Stage:
    """One gateway with sessions, others beside it, and time that passes in steps."""

    def __init__(self, sessions: int = 0, *, others: int = 2) -> None:
        self.nodes = [node(number) for number in range(1, others + 2)]
        self.core, self.clock = LeavingCore(), Clock()
        self.redirect = Redirect(lambda: self.nodes, OWN, "", "", 3)
        self.changes = 0
        self.drain = Drain(
            self.core, 2, self.redirect, (Full,), self._changed, None, self.clock, lambda: self.core.above
        )
        self.core.hears = self.drain
        for number in range(sessions):
            self.core.add(f"u{number}", number % 2, silent=number % 3 > 0)

    def _changed(self) -> None:
        self.changes += 1

    def run(self, seconds: float) -> list[int]:
        """-> how many were told in each step."""
        told = []
        for _ in range(round(seconds / STEP_S)):
            before = len(self.core.told)
            self.drain.step()
            told.append(len(self.core.told) - before)
            self.clock.now += STEP_S
        return told


@pytest.mark.parametrize("rate", [7.0, 100.0, 500.0, 4000.0])
async def test_each_is_told_once_and_the_rate_holds(rate: float) -> None:
    stage = Stage(sessions=int(rate * 4))
    stage.drain.apply(DrainOrder(rate=rate, deadline_s=60))
    told = stage.run(3)
    assert abs(sum(told) - 3 * rate) <= max(2, 0.1 * 3 * rate)
    assert max(told) <= rate * STEP_S * 2 + 2, "evenly"
    status = stage.drain.status()
    assert (status.draining, status.told, status.remaining) == (True, sum(told), int(rate * 4))
    assert abs(status.rate - rate) <= max(1, 0.1 * rate)
    stage.run(3)
    conns = [conn for conn, _, _, _ in stage.core.told]
    assert len(conns) == len(set(conns)) == int(rate * 4)
    assert {after for _, _, after, _ in stage.core.told} == {60}


async def test_the_silent_are_told_first() -> None:
    stage = Stage(sessions=60)
    stage.drain.apply(DrainOrder(rate=1000))
    stage.run(1)
    told = stage.core.told_users()
    silent = [user in stage.core.silent for user in told]
    assert len(told) == 60
    assert silent == sorted(silent, reverse=True)


async def test_who_comes_anyway_is_told_too() -> None:
    stage = Stage(sessions=4)
    stage.drain.apply(DrainOrder(rate=1000))
    stage.run(1)
    stage.core.add("late", 1, silent=False)
    stage.run(3)
    assert stage.core.told_users()[-1] == "late"


async def test_who_comes_again_and_again_takes_no_pace_of_those_who_were_here() -> None:
    stage = Stage(sessions=100)
    stage.drain.apply(DrainOrder(rate=20))
    late = 0
    for _ in range(60):
        stage.run(0.1)
        for _ in range(10):
            late += 1
            stage.core.add(f"late{late}", late % 2, silent=late % 2 == 0)
    told = stage.core.told_users()
    assert sorted(told[:100]) == sorted(f"u{number}" for number in range(100))
    assert len(told) > 110, "and then they are told"


async def test_each_goaway_names_other_gateways_in_an_order_of_its_own() -> None:
    stage = Stage(sessions=40, others=5)
    stage.nodes[2] = node(3, draining=True)
    stage.drain.apply(DrainOrder(rate=1000))
    stage.run(1)
    notices = [parse_goaway(body) for _, body, _, _ in stage.core.told]
    assert {notice.code for notice in notices} == {3000}
    assert {notice.retry_after_ms for notice in notices} == {0}
    named = {address for notice in notices for address in notice.addresses}
    assert named == {f"tcp://192.0.2.7:{port}" for port in (7802, 7804, 7805, 7806)}, (
        "not this one, none that drains"
    )
    assert all(len(notice.addresses) == 3 for notice in notices)
    assert len({notice.addresses[0] for notice in notices}) > 2


async def test_without_redirect_or_without_others_nobody_is_named_and_lbs_gets_time() -> None:
    for stage, redirect in ((Stage(2), False), (Stage(2, others=0), True)):
        stage.drain.apply(DrainOrder(rate=1000, redirect=redirect, force=True))
        stage.run(1)
        notices = [parse_goaway(body) for _, body, _, _ in stage.core.told]
        assert [(notice.addresses, notice.retry_after_ms) for notice in notices] == [((), 500)] * 2


@pytest.mark.parametrize(
    "away", [[], [node(2, draining=True)], [node(2, lapsed=True)], [node(2, clock_s=90.0)]], ids=str
)
async def test_nobody_is_sent_to_nowhere_and_the_drain_goes_on_when_another_is_there(
    away: list[NodeInfo],
) -> None:
    """The other gateway dies while it takes them: they come back here, and would be told for ever."""
    stage = Stage(sessions=100, others=1)
    stage.drain.apply(DrainOrder(rate=20))
    stage.run(1)
    there, stage.nodes[1:] = stage.nodes[1:], away
    told = len(stage.core.told)
    stage.core.leave(stage.core.told[0][0])
    assert sum(stage.run(60)) == 0
    assert (stage.core.stays, stage.drain.tells) == (1, False), "who was told may stay"
    status = stage.drain.status()
    assert (status.draining, status.waits, status.told, status.left, status.rate) == (True, True, 1, 1, 0.0)
    stage.nodes[1:] = there
    assert 18 <= sum(stage.run(1)) <= 22, "at its rate, and no burst"
    assert (stage.drain.status().waits, stage.drain.tells) == (False, True)
    stage.run(5)
    assert len(stage.core.told) == told + 99, "those who had stayed are told again"
    assert stage.changes == 3, "its beginning, that it waits, that it goes on"


async def test_what_was_picked_before_the_others_went_is_told_to_nobody() -> None:
    stage = Stage(sessions=50, others=1)
    stage.core.slow = True
    stage.drain.apply(DrainOrder(rate=1000))
    stage.run(0.1)
    there = stage.nodes.pop()
    asked = stage.core.asked[:]
    stage.run(0.1)
    stage.core.asked = asked
    stage.core.answer()
    assert len(stage.core.picked) > 0
    stage.core.picked.clear()
    stage.core.slow = False
    stage.nodes.append(there)
    stage.run(2)
    conns = [conn for conn, _, _, _ in stage.core.told]
    assert len(conns) == len(set(conns)) == 50


async def test_a_full_core_hears_that_who_was_told_may_stay_before_anybody_is_told_again() -> None:
    stage = Stage(sessions=50, others=1)
    stage.drain.apply(DrainOrder(rate=1000))
    stage.run(1)
    there = stage.nodes.pop()
    stage.core.full = True
    stage.run(1)
    stage.nodes.append(there)
    stage.run(1)
    assert stage.core.stays == 0
    stage.core.full = False
    stage.run(1)
    assert (stage.core.stays, len(stage.core.told)) == (1, 100)


async def test_an_undrain_stops_at_once_and_a_new_drain_begins_anew() -> None:
    stage = Stage(sessions=100)
    stage.drain.apply(DrainOrder(rate=20))
    stage.run(1)
    stage.drain.apply(None)
    assert stage.run(1) == [0] * 20
    assert (stage.core.stays, stage.drain.status().draining) == (1, False)
    stage.drain.apply(None)
    stage.drain.apply(DrainOrder(rate=1000))
    stage.run(1)
    assert stage.drain.status().told == 100, "those who had stayed are told again"
    assert stage.changes == 3


async def test_the_same_order_twice_changes_nothing_and_another_one_goes_on() -> None:
    stage = Stage(sessions=100)
    order = DrainOrder(rate=20)
    stage.drain.apply(order)
    stage.run(1)
    stage.drain.apply(DrainOrder(rate=20))
    told = len(stage.core.told)
    stage.drain.apply(DrainOrder(rate=200))
    assert sum(stage.run(0.25)) >= 38
    assert stage.drain.status().told == len(stage.core.told) > told
    assert stage.changes == 1


async def test_progress_counts_who_left_and_when_nobody_is_left() -> None:
    stage = Stage(sessions=10)
    stage.drain.apply(DrainOrder(rate=1000, since=1_700_000_000))
    stage.run(1)
    for conn, _, _, _ in stage.core.told[:7]:
        stage.core.leave(conn)
    status = stage.drain.status()
    assert (status.told, status.left, status.remaining, status.done) == (10, 7, 3, False)
    for conn, _, _, _ in stage.core.told[7:]:
        stage.core.leave(conn)
    assert stage.drain.status().done
    assert stage.drain.status().since == 1_700_000_000


async def test_a_core_that_takes_no_command_costs_nobody_a_goaway() -> None:
    stage = Stage(sessions=50)
    stage.drain.apply(DrainOrder(rate=1000))
    stage.core.full = True
    stage.run(1)
    stage.core.full = False
    burst = stage.run(1)
    assert len(stage.core.told) == 50
    assert max(burst) <= 251, "what was missed is not made up for at once"


async def test_a_core_that_is_full_for_a_moment_goes_on_being_asked() -> None:
    stage = Stage(sessions=50)
    stage.core.full = True
    stage.drain.apply(DrainOrder(rate=1000))
    stage.run(0.1)
    stage.core.full = False
    stage.run(1)
    assert len(stage.core.told) == 50


async def test_a_pick_that_another_one_stood_in_for_is_asked_again() -> None:
    stage = Stage(sessions=50)
    stage.core.slow = True
    stage.drain.apply(DrainOrder(rate=1000))
    stage.run(0.1)
    stage.core.asked.clear()
    stage.run(1)
    assert not stage.core.asked, "asked once"
    stage.core.slow = False
    stage.run(ANSWER_S + 1)
    assert len(stage.core.told) == 50


async def test_who_was_told_may_stay_once_a_full_core_takes_commands_again() -> None:
    stage = Stage(sessions=10)
    stage.drain.apply(DrainOrder(rate=1000))
    stage.run(1)
    stage.core.full = True
    stage.drain.apply(None)
    assert (stage.changes, stage.drain.status().draining) == (2, False)
    await asyncio.sleep(3 * STEP_S)
    assert stage.core.stays == 0
    stage.core.full = False
    await until(lambda: stage.core.stays == 1)
    stage.drain.close()


async def test_others_that_cannot_be_heard_of_hold_up_no_drain() -> None:
    async def ready() -> None:
        raise TimeoutError("the bus stands still")

    stage = Stage(sessions=10)
    stage.drain = Drain(stage.core, 2, stage.redirect, (Full,), ready=ready)
    stage.core.hears = stage.drain
    stage.drain.apply(DrainOrder(rate=1000))
    await until(lambda: len(stage.core.told) == 10)
    stage.drain.close()


async def until(condition: Callable[[], bool]) -> None:
    for _ in range(1000):
        if condition():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("it did not come to it")


async def test_a_stall_is_no_burst() -> None:
    stage = Stage(sessions=5000)
    stage.drain.apply(DrainOrder(rate=100))
    stage.run(0.2)
    stage.clock.now += 20
    assert max(stage.run(0.5)) <= 26


@pytest.mark.parametrize(
    "text", ['{"rate": 0}', '{"rate": 1e-300}', '{"rate": 10, "speed": 1}', '{"deadline_s": -1}', "[]"]
)
async def test_an_order_that_cannot_be_is_refused(text: str) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.json.decode(text, type=DrainOrder)
