"""A gateway that alone has lost the bus knows it by etcd, as others do; with the bus away nobody is alone."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest

from control.bus.memory import MemoryBus
from control.coordination.base import NodeInfo
from control.coordination.beacons import BeaconCoordination
from control.coordination.cut_off import CutOff, smaller_side
from control.coordination.roster import Roster
from control.coordination.sqlite_documents import SqliteDocuments
from control.node_ids import Peer
from tests.support.sdk_client import until

ONE, TWO = (1, 100), (2, 200)


class Gateways:
    """Two of them and an im process, as etcd lists them; what each says of itself there."""

    def __init__(self, path: Path) -> None:
        self.documents = SqliteDocuments(path)
        self.roster = Roster(self.documents)
        self.now = 0.0
        self.away: set[Peer] = set()
        self.alone: dict[Peer, list[bool]] = {ONE: [], TWO: []}
        self.parts = {peer: self.part(peer) for peer in (ONE, TWO)}

    def part(self, own: Peer) -> CutOff:
        def problem() -> str | None:
            return "silent" if own in self.away else None

        alone = self.alone[own].append
        return CutOff(
            self.documents, self.roster, own, "gateway", problem, 10.0, alone, clock=lambda: self.now
        )

    async def start(self) -> None:
        await self.documents.start()
        for number, (peer, role) in enumerate(((ONE, "gateway"), (TWO, "gateway"), ((3, 300), "im"))):
            value = {"name": f"n{number}", "mark": "m", "epoch": peer[1], "roles": [role]}
            await self.documents.put(f"nodes/{peer[0]}", msgspec.json.encode(value))
        await self.roster.start()

    async def pass_s(self, seconds: int) -> None:
        for _ in range(seconds):
            self.now += 1.0
            for peer, part in self.parts.items():
                await part.tick()
                await until(lambda peer=peer: self.roster.is_cut_off(peer) == (peer in self.away))


@pytest.fixture
async def gateways(tmp_path: Path) -> AsyncIterator[Gateways]:
    made = Gateways(tmp_path / "c.sqlite3")
    await made.start()
    yield made
    for part in made.parts.values():
        await part.stop()
    await made.roster.stop(0.0)
    await made.documents.stop(0.0)


async def test_who_alone_has_lost_the_bus_knows_it_until_it_is_back(gateways: Gateways) -> None:
    gateways.away = {ONE}
    await gateways.pass_s(10)
    assert gateways.alone == {ONE: [], TWO: []}, "the others may only not have noticed"
    await gateways.pass_s(1)
    assert gateways.alone == {ONE: [True], TWO: []}
    gateways.away = set()
    await gateways.pass_s(1)
    assert gateways.alone == {ONE: [True, False], TWO: []}


async def test_with_the_bus_away_nobody_is_alone_whenever_each_notices(gateways: Gateways) -> None:
    gateways.away = {ONE}
    await gateways.pass_s(7)
    gateways.away = {ONE, TWO}
    await gateways.pass_s(20)
    gateways.away = {TWO}  # the first that is back
    await gateways.pass_s(5)
    assert gateways.alone == {ONE: [], TWO: []}


async def test_a_process_that_says_so_is_left_out_as_soon_as_others_are_heard(gateways: Gateways) -> None:
    now = 0.0
    members = BeaconCoordination(MemoryBus(), 1.0, 6.0, clock=lambda: now, roster=gateways.roster)
    for each, role in ((ONE, "gateway"), (TWO, "gateway"), ((3, 300), "im")):
        members._see(NodeInfo(*each, f"n{each[0]}", (role,)))
    gateways.away = {ONE, TWO}
    await gateways.pass_s(1)
    gateways.away = {ONE}
    await gateways.pass_s(1)
    gone: dict[int, float] = {}
    for _ in range(12):
        now += 1.0
        members.hear((3, 300), "im")
        members.expire()
        gone |= {number: now for number in (1, 2) if members.epoch_of(number) is None and number not in gone}
    assert gone == {1: 9.0}, "the other one is listed, and says nothing"


SIX = [
    NodeInfo(number, 1, f"n{number}", (role,))
    for number, role in enumerate(("gateway", "gateway", "im", "im", "control", "control"), 1)
]


def sides(*one: int) -> tuple[str | None, str | None]:
    """What processes say on the side with these numbers, and on the other one."""
    there = [info for info in SIX if info.node_id in one]
    others = [info for info in SIX if info.node_id not in one]
    return smaller_side(SIX, others), smaller_side(SIX, there)


def test_of_a_bus_in_two_parts_the_smaller_side_is_cut_off_and_never_both() -> None:
    assert sides(1, 3, 5, 6) == (None, "carries 1 of 4 processes")
    assert sides(2, 4) == ("carries 1 of 4 processes", None)
    assert sides(1, 2, 3, 5) == (None, "carries 2 of 4 processes"), "of two halves that without the lowest"
    assert sides(1, 4, 6) == ("carries 2 of 4 processes", None)
    for number in range(1 << 6):
        one = [each for each in range(1, 7) if number >> (each - 1) & 1]
        assert sum(each is not None for each in sides(*one)) == 1
    assert smaller_side(SIX, []) is None
    assert smaller_side(None, SIX) is None, "etcd is away: nobody knows"
    assert smaller_side(SIX[:2], []) is None, "there are gateways only"
