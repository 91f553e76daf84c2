"""The gateway's side: what a REPORT leads to, what is counted, and what holds while documents are away."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from pathlib import Path

import msgspec

from control.coordination.documents import Change, Documents, DocumentsUnavailable, Listing
from control.coordination.sqlite_documents import SqliteDocuments
from control.policy.documents import PolicyDocuments
from control.policy.gateway import GatewayPolicies
from control.policy.model import Constants, Match, Policy
from tests.support.sdk_client import until
from tests.unit.control.policy.test_table import Recorder

MOBILE = Policy(match=Match(net=["4g"]), constants=Constants(ping_interval_s=270.0))


class Core(Recorder):
    def __init__(self) -> None:
        super().__init__()
        self.chosen: list[tuple[int, int, int]] = []
        self.now = 100.0

    def choose_policy(self, conn: int, row: int, rev: int = 0) -> None:
        self.chosen.append((conn, row, rev))


class Away(SqliteDocuments):
    """Documents whose engine does not answer."""

    async def list(self, prefix: str) -> Listing:
        raise DocumentsUnavailable("away")

    async def watch(
        self, prefix: str, after: int, known: Mapping[str, int] | None = None
    ) -> AsyncIterator[Change]:
        raise DocumentsUnavailable("away")
        yield


def run(folder: Path, body: Callable[[GatewayPolicies, Core, PolicyDocuments], Awaitable[None]]) -> None:
    async def main() -> None:
        documents = SqliteDocuments(folder / "coordination.db")
        await documents.start()
        room, core = PolicyDocuments(documents), Core()
        await room.publish("mobile", MOBILE, 100, "key-1", None)
        policies = made(documents, core, folder)
        await policies.start()
        try:
            await body(policies, core, room)
        finally:
            await policies.stop(0.0)
            await documents.stop(0.0)

    asyncio.run(main())


def made(documents: Documents, core: Core, folder: Path) -> GatewayPolicies:
    return GatewayPolicies(documents, core, folder, 240, 15, ("node-1", 7), clock=lambda: core.now)


def report(**members: object) -> bytes:
    return msgspec.msgpack.encode({"net": "4g", "carrier": "46000", **members})


def test_a_report_chooses_the_row_of_its_kind(tmp_path: Path) -> None:
    async def body(policies: GatewayPolicies, core: Core, room: PolicyDocuments) -> None:
        policies.on_report(11, "u11", 1, True, report(policy_rev=1))
        (conn, row, rev), *_ = core.chosen
        assert (conn, rev) == (11, 1)
        assert core.entries[core.rows[row][0]] == (1, 270)
        policies.on_report(12, "u12", 1, True, msgspec.msgpack.encode({"net": "wifi"}))
        assert core.rows[core.chosen[1][1]][0] == 0

    run(tmp_path, body)


def test_how_a_connection_ended_counts_once_and_for_the_policy_it_went_by(tmp_path: Path) -> None:
    async def body(policies: GatewayPolicies, core: Core, room: PolicyDocuments) -> None:
        died = {"cause": 1, "gap_ms": 300_000, "alive_ms": 240_000}
        policies.on_report(11, "u11", 1, True, report(policy_rev=1, last=died))
        policies.on_report(11, "u11", 1, False, report(policy_rev=1, last=died))
        policies.on_report(12, "u12", 1, True, report(policy_rev=1, last={"cause": 5, "alive_ms": 240_000}))
        policies.on_report(13, "u13", 1, True, report(policy_rev=99, last=died))
        numbers = policies.numbers()
        assert (numbers.arms["mobile/1"].ends, numbers.arms["mobile/1"].deaths) == (2, 1)
        cell = numbers.cells["4g 46000"]
        assert (sum(cell.died), sum(cell.lived)) == (2, 1)

    run(tmp_path, body)


def test_one_user_judges_no_canary_alone(tmp_path: Path) -> None:
    async def body(policies: GatewayPolicies, core: Core, room: PolicyDocuments) -> None:
        died = {"cause": 1, "gap_ms": 300_000, "alive_ms": 240_000}
        for conn in range(400):
            policies.on_report(conn, "liar", 1, True, report(policy_rev=1, last=died))
        assert policies.numbers().arms["mobile/1"].deaths == 3
        assert sum(policies.numbers().cells["4g 46000"].died) == 3, "nor a curve"
        core.now += 60
        policies.on_report(1, "liar", 1, True, report(policy_rev=1, last=died))
        assert policies.numbers().arms["mobile/1"].deaths == 4

    run(tmp_path, body)


def test_a_silent_end_is_a_connection_that_lived_its_interval(tmp_path: Path) -> None:
    async def body(policies: GatewayPolicies, core: Core, room: PolicyDocuments) -> None:
        policies.on_report(11, "u11", 1, True, report())
        policies.on_silent(core.chosen[0][1], 270 * 3 // 2 + 15)
        cell = policies.numbers().cells["4g 46000"]
        assert (sum(cell.died), sum(cell.lived), len(cell.lived)) == (0, 1, 11 + (270 - 60) // 15 + 1)

    run(tmp_path, body)


def test_what_cannot_be_read_is_counted_and_harms_nobody(tmp_path: Path) -> None:
    async def body(policies: GatewayPolicies, core: Core, room: PolicyDocuments) -> None:
        no_text, nested = b"\x81\xa3net\xa1\x80", b"\x81\xa1x" + b"\x91" * 500
        bodies = (b"", b"\xc1", msgspec.msgpack.encode([1]), report(net=7), report(last=[1]), no_text, nested)
        for bad in bodies:
            policies.on_report(11, "u11", 1, True, bad)
        assert policies.unreadable == len(bodies)
        assert core.chosen == []

    run(tmp_path, body)


def test_time_counts_where_there_is_a_connection_and_bytes_where_there_is_a_canary(tmp_path: Path) -> None:
    async def body(policies: GatewayPolicies, core: Core, room: PolicyDocuments) -> None:
        policies.on_report(11, "u11", 1, True, report())
        row = core.chosen[0][1]
        entry = core.rows[row][0]
        core.sessions[entry], core.parked[entry] = 10, 4
        core.now += 100.0
        arm = policies.numbers().arms["mobile/1"]
        assert (arm.sessions, arm.parked, arm.connected_s, arm.metered_s) == (10, 4, 600.0, 0.0)
        await room.publish("mobile", msgspec.structs.replace(MOBILE, rank=1), 10, "key-1", None)
        await until(lambda: core.rows[row][2] == 1000)
        core.now += 600.0
        core.bytes[entry] = 7 * 1024
        arm = policies.numbers().arms["mobile/1"]
        assert (arm.connected_s, arm.metered_s, arm.kib_an_hour) == (4200.0, 3600.0, 7.0)

    run(tmp_path, body)


def test_a_publication_reaches_the_core_and_the_disk(tmp_path: Path) -> None:
    async def body(policies: GatewayPolicies, core: Core, room: PolicyDocuments) -> None:
        policies.on_report(11, "u11", 1, True, report())
        row = core.chosen[0][1]
        faster = msgspec.structs.replace(MOBILE, constants=Constants(ping_interval_s=220.0))
        await room.publish("mobile", faster, 10, "key-1", None)
        await until(lambda: core.rows[row][2] == 1000)
        assert core.entries[core.rows[row][1]] == (2, 220)

    run(tmp_path, body)
    core = Core()

    async def without_documents() -> None:
        policies = made(Away(tmp_path / "other.db"), core, tmp_path)
        await policies.start()
        policies.on_report(11, "u11", 1, True, report())
        assert core.entries[core.rows[core.chosen[0][1]][0]] == (1, 270)
        assert policies.cached
        await policies.stop(0.0)

    asyncio.run(without_documents())
