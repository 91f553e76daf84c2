"""Membership with a list of lives: what it says, what the bus says, and what neither says."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest

from control.bus.memory import MemoryBus
from control.coordination.base import NodeInfo
from control.coordination.beacons import BeaconCoordination
from control.coordination.roster import Roster
from control.coordination.sqlite_documents import SqliteDocuments
from control.lbs.placement import place
from tests.support.sdk_client import until


def node(number: int, epoch: int) -> NodeInfo:
    return NodeInfo(number, epoch, f"n{number}", ("gateway",), "10.0.0.1", 7801)


class Members:
    """The membership of a process that tells nothing of itself, a list that can be away, and a clock."""

    def __init__(self, path: Path) -> None:
        self.documents = SqliteDocuments(path)
        self.roster = Roster(self.documents)
        self.now = 0.0
        self.bus = MemoryBus()
        self.coordination = BeaconCoordination(self.bus, 1.0, 6.0, clock=lambda: self.now, roster=self.roster)
        self.changes: list[tuple[int, int, bool]] = []
        self.coordination.on(
            "gateway", lambda info, alive: self.changes.append((info.node_id, info.epoch, alive))
        )

    async def lists(self, number: int, epoch: int, role: str = "gateway") -> None:
        """What a registration writes."""
        written = {"name": f"n{number}", "mark": "m", "epoch": epoch, "roles": [role]}
        value = msgspec.json.encode(written)
        await self.documents.put(f"nodes/{number}", value)
        await until(lambda: self.roster.lists((number, epoch)))

    async def lists_no_more(self, number: int, epoch: int) -> None:
        await self.documents.delete(f"nodes/{number}")
        await until(lambda: self.roster.lists((number, epoch)) is False)

    def pass_s(self, seconds: int) -> None:
        for _ in range(seconds):
            self.now += 1.0
            self.coordination.expire()


@pytest.fixture
async def members(tmp_path: Path) -> AsyncIterator[Members]:
    made = Members(tmp_path / "c.sqlite3")
    await made.documents.start()
    await made.roster.start()
    made.roster.on_change(made.coordination._on_listed)
    yield made
    await made.roster.stop(0)
    await made.documents.stop()


async def test_who_is_listed_lives_on_in_silence(members: Members) -> None:
    await members.lists(1, 100)
    members.coordination._see(node(1, 100))
    members.pass_s(60)
    assert members.coordination.epoch_of(1) == 100
    await members.lists_no_more(1, 100)
    members.pass_s(1)
    assert members.changes == [(1, 100, True), (1, 100, False)]


async def test_who_is_listed_and_mute_for_long_is_gone_until_it_is_heard(members: Members) -> None:
    await members.lists(1, 100)
    await members.lists(2, 101)
    members.coordination._see(node(1, 100))
    for second in range(20):
        members.coordination._see(node(2, 101))
        assert members.coordination.epoch_of(1) == (100 if second < 19 else None)
        members.pass_s(1)
    members.coordination._see(node(1, 100))
    assert members.changes == [(1, 100, True), (2, 101, True), (1, 100, False), (1, 100, True)]


async def test_while_nobody_is_heard_the_bus_is_away_and_nobody_is_mute(members: Members) -> None:
    await members.lists(1, 100)
    await members.lists(2, 101)
    for info in (node(1, 100), node(2, 101)):
        members.coordination._see(info)
    members.pass_s(120)
    members.coordination._see(node(2, 101))  # the first that is heard when it is back
    members.pass_s(2)
    members.coordination._see(node(1, 100))
    members.pass_s(1)
    assert members.changes == [(1, 100, True), (2, 101, True)]


async def test_who_is_heard_lives_on_unlisted_and_gets_nobody_new(members: Members) -> None:
    await members.lists(1, 100)
    members.coordination._see(node(1, 100))
    assert place(members.coordination.nodes("gateway"), "u", "d")
    await members.lists_no_more(1, 100)
    for _ in range(20):
        members.pass_s(1)
        members.coordination._see(node(1, 100))
    assert members.coordination.epoch_of(1) == 100
    assert [each.lapsed for each in members.coordination.nodes("gateway")] == [True]
    assert not place(members.coordination.nodes("gateway"), "u", "d")
    await members.lists(1, 100)
    assert [each.lapsed for each in members.coordination.nodes("gateway")] == [False]
    assert members.changes == [(1, 100, True)]


async def test_while_the_list_is_away_silence_counts_and_nothing_else(members: Members) -> None:
    await members.lists(1, 100)
    await members.lists(2, 101)
    for info in (node(1, 100), node(2, 101)):
        members.coordination._see(info)
    await members.documents.stop()
    members.documents._problem = "away"
    for _ in range(7):
        members.pass_s(1)
        members.coordination._see(node(2, 101))
    assert members.coordination.epoch_of(1) is None
    assert [each.lapsed for each in members.coordination.nodes()] == [False]


async def test_a_later_life_ends_the_earlier_and_is_ended_by_no_word_of_it(members: Members) -> None:
    await members.lists(1, 100)
    members.coordination._see(node(1, 100))
    await members.lists(1, 200)
    assert members.changes == [(1, 100, True), (1, 100, False)]
    assert not members.coordination.hear((1, 100), "gateway")
    assert members.coordination.epoch_of(1) is None
    members.coordination._see(node(1, 200))
    assert not members.coordination.hear((1, 100), "gateway")
    assert members.coordination.epoch_of(1) == 200


async def test_a_word_may_come_before_the_list_does(members: Members) -> None:
    assert members.coordination.hear((1, 100), "gateway")
    members.coordination._see(node(1, 100))
    await members.lists(1, 100)
    assert members.changes == [(1, 100, True)]


async def test_what_cannot_be_read_in_the_list_is_no_node(members: Members) -> None:
    for key, value in (("nodes/x", b"{}"), ("nodes/7", b"{damaged"), ("nodes/", b"")):
        if key != "nodes/":
            await members.documents.put(key, value)
    await members.lists(1, 100)
    assert members.roster.lists((7, 1)) is False


async def test_who_is_listed_and_not_heard_is_told_until_it_is_heard_or_listed_no_more(
    members: Members,
) -> None:
    """The bus is in two parts, and every process is well by itself."""
    for number in (1, 2, 3):
        await members.lists(number, 100)
    for info in (node(1, 100), node(2, 100)):
        members.coordination._see(info)
    told: dict[int, list[int]] = {}
    for second in range(1, 31):
        members.pass_s(1)
        members.coordination._see(node(1, 100))
        told[second] = [each.node_id for each in members.coordination.mute()]
    assert (told[12], told[14]) == ([], [3]), "one that has not begun yet, too"
    assert told[20] == told[30] == [2, 3]
    assert members.coordination.remarks()["nodes"]() == "listed by etcd, not heard on the bus: n2, n3"
    assert members.coordination.sources()["nodes"]()["max_mute"] == 2
    members.coordination._see(node(2, 100))
    await members.lists_no_more(3, 100)
    members.pass_s(1)
    assert (members.coordination.mute(), members.coordination.remarks()["nodes"]()) == ([], None)


async def test_a_later_life_that_is_not_heard_is_told_though_the_earlier_was(members: Members) -> None:
    await members.lists(1, 100)
    members.coordination._see(node(1, 100))
    await members.lists(1, 101)
    for _ in range(15):
        members.pass_s(1)
        members.coordination._see(node(1, 100))
    assert [each.epoch for each in members.coordination.mute()] == [101]


async def test_nobody_is_told_who_need_not_be_heard_or_said_why(members: Members) -> None:
    away = BeaconCoordination(
        members.bus, 1.0, 6.0, clock=lambda: members.now, roster=members.roster, hears_gateways=False
    )
    for number, role in ((1, "gateway"), (2, "im"), (3, "im"), (4, "control")):
        await members.lists(number, 100, role)
    away._leave(NodeInfo(2, 100, "n2", ("im",)))
    away._see(NodeInfo(3, 100, "n3", ("im",), rests=True))
    away.announce(NodeInfo(4, 100, "n4", ("control",)))
    for _ in range(30):
        members.now += 1.0
        away.expire()
    assert away.mute() == []
