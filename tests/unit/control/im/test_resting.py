"""An im process that alone reaches no store lets others serve its users; without one for all nobody does."""

from __future__ import annotations

import msgspec

from control.bus.memory import MemoryBus
from control.coordination.base import NodeInfo
from control.coordination.beacons import BeaconCoordination
from control.im.resting import Resting

OWN = NodeInfo(1, 100, "own", ("im",))
OTHER = NodeInfo(2, 200, "other", ("im",))


class Rests:
    def __init__(self) -> None:
        self.now = 0.0
        self.problem: str | None = None
        self.others = [OTHER]
        self.resting = Resting(lambda: self.problem, lambda: self.others, 10.0, clock=lambda: self.now)

    def pass_s(self, seconds: int) -> bool:
        for _ in range(seconds):
            self.now += 1.0
            self.resting.look()
        return self.resting.rests


def test_it_rests_while_others_reach_the_store_and_it_does_not() -> None:
    rests = Rests()
    assert not rests.pass_s(20)
    rests.problem = "no connection"
    assert not rests.pass_s(10)
    assert rests.resting.unwell, "told at once"
    assert rests.pass_s(1)
    rests.problem = None
    assert not rests.pass_s(1)


def test_nobody_rests_where_the_store_is_away_for_all() -> None:
    rests = Rests()
    rests.problem = "no connection"
    rests.pass_s(9)
    rests.others = [msgspec.structs.replace(OTHER, unwell=True)]  # it has noticed later
    assert not rests.pass_s(30)
    rests.others = []
    assert not rests.pass_s(30)
    rests.others = [OTHER]
    assert rests.pass_s(11)
    rests.others = [msgspec.structs.replace(OTHER, unwell=True)]
    assert not rests.pass_s(1), "then it serves with the others, and waits with them"


def test_others_take_one_that_rests_for_dead_until_it_says_otherwise() -> None:
    members = BeaconCoordination(MemoryBus(), 1.0, 6.0)
    changes: list[tuple[int, bool]] = []
    members.on("im", lambda info, alive: changes.append((info.node_id, alive)))
    members.announce(OWN)
    members._see(OTHER)
    members._see(msgspec.structs.replace(OTHER, rests=True))
    assert not members.hear((2, 200), "im"), "a late answer of it"
    members.announce(msgspec.structs.replace(OWN, rests=True))
    assert members.nodes("im") == []
    members._see(OTHER)
    members.announce(OWN)
    assert members.nodes("im") == [OWN, OTHER]
    assert changes == [(1, True), (2, True), (2, False), (1, False), (2, True), (1, True)]
