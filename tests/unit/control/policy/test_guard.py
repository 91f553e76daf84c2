"""The guard: what harms is taken back, once, with its reason in the audit log; what does not goes on."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from control.audit.entry import decode
from control.audit.trail import Audit
from control.bus.memory import MemoryBus
from control.coordination.beacons import BeaconCoordination
from control.coordination.sqlite_documents import SqliteDocuments
from control.policy.arms import Counts, Fleet, FleetNumbers, Numbers
from control.policy.documents import PolicyDocuments
from control.policy.guard import ACTOR, Guard
from control.policy.model import Policy
from control.settings.build import build
from control.settings.policy_section import PolicySection


@dataclass
class Told(FleetNumbers):
    """Numbers of one gateway, as the test says."""

    canary: Counts = field(default_factory=Counts)
    control: Counts = field(default_factory=Counts)

    async def gather(self) -> Fleet:
        arms = {
            "base/1": msgspec.structs.replace(self.control),
            "base/2": msgspec.structs.replace(self.canary),
        }
        return Fleet(gateways=[Numbers(node="node-1", epoch=1, arms=arms, cells={})], silent=[])

    def more(self, canary: Counts, control: Counts) -> None:
        self.canary, self.control = self.canary.plus(canary), self.control.plus(control)


@dataclass
class Stage:
    guard: Guard
    told: Told
    room: PolicyDocuments
    audit: Audit
    folder: Path

    async def looks(self, canary: Counts, control: Counts, times: int = 1) -> None:
        for _ in range(times):
            self.told.more(canary, control)
            await self.guard.look()

    def trail(self) -> list[tuple[str, str]]:
        lines = [
            line
            for file in sorted((self.folder / "audit" / "operators").glob("*.jsonl"))
            for line in file.read_bytes().splitlines()
        ]
        return [(entry.who, entry.what) for entry in map(decode, lines)]


def run(folder: Path, body: Callable[[Stage], Awaitable[None]], **settings: object) -> None:
    async def main() -> None:
        tree = build({"server": {"data_dir": folder, "node_id": 1}})
        documents = SqliteDocuments(folder / "coordination.db")
        await documents.start()
        coordination = BeaconCoordination(MemoryBus(), 1.0, 6.0)
        audit, room = Audit(tree), PolicyDocuments(documents)
        told = Told(Counts(), Counts())
        section = msgspec.convert(settings, PolicySection)
        guard = Guard(room, told, coordination, 1, section, audit)
        await room.publish("base", Policy(), 100, "key-1", None)
        await room.publish("base", Policy(rank=1), 10, "key-1", None)
        await guard.look()
        try:
            await body(Stage(guard, told, room, audit, folder))
        finally:
            await audit.stop(0.0)
            await documents.stop(0.0)

    asyncio.run(main())


HOUR = 3600.0
QUIET = Counts(connected_s=9 * HOUR, ends=9, deaths=1, pings=900)
HARMS = Counts(connected_s=HOUR, ends=9, deaths=8, pings=100)
AS_QUIET = Counts(connected_s=HOUR, ends=1, pings=100)


def test_a_canary_that_dies_is_taken_back_and_the_log_says_who_and_why(tmp_path: Path) -> None:
    async def body(stage: Stage) -> None:
        await stage.looks(HARMS, QUIET, 2)
        state, revision = await stage.room.state("base")
        assert state.canary is None
        assert (state.number, state.history[-1].who) == (1, ACTOR)
        assert "deaths" in state.history[-1].why
        await stage.looks(HARMS, QUIET, 3)
        assert (await stage.room.state("base"))[1] == revision, "once"
        assert stage.trail() == [(ACTOR, "policies.rollback")]
        assert stage.guard.breaches == 1

    run(tmp_path, body)


def test_a_canary_like_the_others_goes_on(tmp_path: Path) -> None:
    async def body(stage: Stage) -> None:
        await stage.looks(AS_QUIET, QUIET, 200)
        assert (await stage.room.state("base"))[0].canary is not None
        assert stage.trail() == []

    run(tmp_path, body)


def test_an_operator_may_want_a_pause_instead(tmp_path: Path) -> None:
    async def body(stage: Stage) -> None:
        await stage.looks(HARMS, QUIET, 2)
        canary = (await stage.room.state("base"))[0].canary
        assert canary is not None
        assert canary.paused
        assert stage.trail() == [(ACTOR, "policies.pause")]
        await stage.looks(HARMS, QUIET, 2)
        assert stage.guard.breaches == 1

    run(tmp_path, body, on_breach="pause")


def test_a_slower_round_trip_pauses_after_three_looks(tmp_path: Path) -> None:
    async def body(stage: Stage) -> None:
        slow = Counts(connected_s=HOUR, rtt_us=100 * 300_000, rtt_count=100)
        fast = Counts(connected_s=HOUR, rtt_us=100 * 100_000, rtt_count=100)
        await stage.looks(slow, fast, 2)
        assert stage.guard.breaches == 0
        await stage.looks(slow, fast, 1)
        canary = (await stage.room.state("base"))[0].canary
        assert canary is not None
        assert canary.paused
        assert canary.why.startswith("rtt")

    run(tmp_path, body)


def test_traffic_that_was_measured_pauses_and_beats_alone_do_not(tmp_path: Path) -> None:
    async def body(stage: Stage) -> None:
        beats = Counts(connected_s=20 * HOUR, metered_s=20 * HOUR, pings=100_000, bytes=20 * 9000)
        usual = Counts(connected_s=20 * HOUR, metered_s=20 * HOUR, pings=100, bytes=20 * 9000)
        await stage.looks(beats, usual, 10)
        assert stage.guard.breaches == 0
        much = Counts(connected_s=20 * HOUR, metered_s=20 * HOUR, bytes=20 * 900_000)
        await stage.looks(much, usual, 3)
        canary = (await stage.room.state("base"))[0].canary
        assert canary is not None
        assert canary.paused
        assert canary.why.startswith("traffic")

    run(tmp_path, body)


def test_a_gateway_that_began_again_counts_from_there(tmp_path: Path) -> None:
    """Its numbers are those of another life: what they were before it is not taken off them."""

    async def body(stage: Stage) -> None:
        await stage.looks(AS_QUIET, QUIET, 3)
        stage.told.canary = Counts(connected_s=1.0)
        stage.told.control = Counts(connected_s=9.0)
        await stage.guard.look()
        assert (await stage.room.state("base"))[0].canary is not None

    run(tmp_path, body)
