"""A process whose clock is not that of the others knows it, and a gateway far off is handed out to nobody."""

from __future__ import annotations

import msgspec
import pytest

from control.bus.memory import MemoryBus
from control.coordination import beacons
from control.coordination.base import NodeInfo
from control.coordination.beacons import BeaconCoordination
from control.coordination.clocks import KEPT, Clocks
from control.health import Health
from control.lbs.placement import rank


class Times:
    """Of this process: the wall clock can be set."""

    def __init__(self) -> None:
        self.steady = 1000.0
        self.set_by = 1.7e9

    def wall(self) -> float:
        return self.steady + self.set_by

    def clocks(self) -> Clocks:
        return Clocks(self.wall, lambda: self.steady)


def hear_all(times: Times, clocks: Clocks, ahead: dict[int, float], late: float = 0.0) -> None:
    for number, seconds in ahead.items():
        clocks.hear(number, times.wall() + seconds - late)


def test_the_one_that_differs_from_the_most_is_off_and_the_others_are_not() -> None:
    times = Times()
    clocks = times.clocks()
    assert clocks.ahead_s() == 0, "alone"
    hear_all(times, clocks, {2: 0.1, 3: 40.0})
    assert abs(clocks.ahead_s()) < 0.2
    assert round(clocks.surely_ahead_s(3)) == round(clocks.ahead_s(3)) == 40
    clocks.forget(3)
    assert abs(clocks.ahead_s()) < 0.2


def test_of_two_that_differ_both_say_so_and_neither_is_surely_wrong() -> None:
    times = Times()
    clocks = times.clocks()
    hear_all(times, clocks, {2: -40.0})
    assert round(clocks.ahead_s()) == 40
    assert round(clocks.ahead_s(2)) == -40
    assert clocks.surely_ahead_s() == clocks.surely_ahead_s(2) == 0


def test_beacons_that_were_held_up_are_no_clocks_that_are_behind() -> None:
    times = Times()
    clocks = times.clocks()
    hear_all(times, clocks, {2: 0.0, 3: 0.0})
    for late in range(20, 0, -1):  # this process stood still, and reads what was said meanwhile
        hear_all(times, clocks, {2: 0.0, 3: 0.0}, late)
    assert abs(clocks.ahead_s()) <= 1


def test_a_clock_that_is_set_is_seen_at_once_here_and_soon_there() -> None:
    times = Times()
    clocks = times.clocks()
    hear_all(times, clocks, {2: 0.0, 3: 0.0})
    times.set_by -= 100
    clocks.now()  # the own beacon
    assert round(clocks.ahead_s()) == -100
    times.set_by += 100
    for _ in range(KEPT):
        hear_all(times, clocks, {2: -100.0, 3: 0.0})
    assert round(clocks.surely_ahead_s(2)) == -100


def beacon(number: int, role: str, clock: float) -> bytes:
    info = NodeInfo(number, 100, f"n{number}", (role,), "127.0.0.1", 7801)
    return msgspec.msgpack.encode([info, False, clock])


def members(times: Times) -> BeaconCoordination:
    """Process 1, an im process."""
    made = BeaconCoordination(
        MemoryBus(),
        1.0,
        6.0,
        clock=lambda: times.steady,
        clocks=times.clocks(),
        clock_off_s=5.0,
        clock_wrong_s=30.0,
    )
    made.announce(NodeInfo(1, 100, "n1", ("im",)))
    return made


def test_lbs_leaves_out_a_gateway_whose_clock_refuses_tokens_and_says_why() -> None:
    times = Times()
    coordination = members(times)
    for number, seconds in ((2, 0.0), (3, 45.0), (4, 20.0), (5, 0.0)):
        coordination._on_beacon(beacon(number, "gateway", times.wall() + seconds))
    ranked = rank(coordination.nodes("gateway"), "alice/phone")
    assert sorted(node.name for node in ranked.order) == ["n2", "n4", "n5"]
    assert ranked.left_out == {"n3": "its clock is 45.0 s ahead of those of the other processes"}


def test_a_process_off_the_others_tells_it_and_stays_ready() -> None:
    times = Times()
    coordination = members(times)
    health = Health(remarks=dict(coordination.remarks()), started=True)
    for number in (2, 3):
        coordination._on_beacon(beacon(number, "gateway", times.wall() + 9.0))
    assert health.remarked() == {"clock": "9.0 s behind those of the other processes"}
    assert health.ready()
    assert coordination.sources()["nodes"]()["max_clock_off_s"] == 9.0
    for number in (2, 3):
        coordination._on_beacon(
            msgspec.msgpack.encode([NodeInfo(number, 100, f"n{number}", ("gateway",)), True])
        )
    assert not health.remarked()


def test_the_log_tells_it_once_and_not_of_beacons_that_waited_while_the_process_stood(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    times = Times()
    coordination = members(times)
    told: list[str] = []
    monkeypatch.setattr(beacons.log, "error", lambda text, **words: told.append(text))
    for behind_s in (0.0, *(40.0 - waited for waited in range(41)), *3 * KEPT * [0.0]):
        for number in (2, 3):
            coordination._on_beacon(beacon(number, "gateway", times.wall() - behind_s))
        if behind_s in (0.0, 30.0):  # the others' beacons come in one turn
            coordination._tell_of_the_clock()
    assert told == []
    for _ in range(3 * KEPT):
        for number in (2, 3):
            coordination._on_beacon(beacon(number, "gateway", times.wall() - 40.0))
        coordination._tell_of_the_clock()
    assert len(told) == 1


def test_a_beacon_of_an_earlier_version_says_nothing_of_a_clock() -> None:
    times = Times()
    coordination = members(times)
    coordination._on_beacon(msgspec.msgpack.encode([NodeInfo(2, 100, "n2", ("gateway",)), False]))
    assert coordination.clocks.ahead_s() == 0
