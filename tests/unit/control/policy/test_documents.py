"""Publishing: versions never change, each has a number of its own, a change is based on what was seen."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import msgspec
import pytest

from control.coordination.documents import Conflict
from control.coordination.sqlite_documents import SqliteDocuments
from control.policy.documents import PolicyDocuments, Refused
from control.policy.model import Constants, Policy

SLOW = Policy(constants=Constants(ping_interval_s=300.0))
FAST = Policy(constants=Constants(ping_interval_s=90.0))


def run(folder: Path, body: Callable[[PolicyDocuments], Awaitable[None]]) -> None:
    async def main() -> None:
        documents = SqliteDocuments(folder / "coordination.db")
        await documents.start()
        try:
            await body(PolicyDocuments(documents))
        finally:
            await documents.stop(0.0)

    asyncio.run(main())


def test_a_version_is_published_for_all_then_another_for_a_canary(tmp_path: Path) -> None:
    async def body(room: PolicyDocuments) -> None:
        state, revision, first = await room.publish("base", SLOW, 100, "key-1", 0)
        assert (state.number, state.canary, first.rev) == (1, None, 1)
        state, revision, second = await room.publish("base", FAST, 10, "key-2", revision)
        assert state.number == 1
        assert state.canary is not None
        assert (state.canary.number, state.canary.share, second.rev) == (2, 10, 2)
        state, revision = await room.step("base", 50, "key-2", revision)
        assert state.canary is not None
        assert state.canary.share == 50
        state, revision = await room.step("base", 100, "key-2", revision)
        assert (state.number, state.canary) == (2, None)
        assert [step.what for step in state.history] == ["publish", "publish", "canary", "promote"]
        held = await room.version("base", 1)
        assert held is not None
        assert held.policy == SLOW

    run(tmp_path, body)


def test_a_rollback_publishes_the_earlier_version_again_as_a_new_one(tmp_path: Path) -> None:
    async def body(room: PolicyDocuments) -> None:
        await room.publish("base", SLOW, 100, "key-1", None)
        await room.publish("base", FAST, 100, "key-1", None)
        state, _ = await room.rollback("base", None, "key-1", None)
        assert state.number == 3
        third = await room.version("base", 3)
        assert third is not None
        assert (third.policy, third.copy_of, third.rev) == (SLOW, 1, 3)
        assert state.history[-1].what == "rollback"

    run(tmp_path, body)


def test_a_rollback_ends_a_canary_and_leaves_what_holds(tmp_path: Path) -> None:
    async def body(room: PolicyDocuments) -> None:
        await room.publish("base", SLOW, 100, "key-1", None)
        await room.publish("base", FAST, 10, "key-1", None)
        state, _ = await room.rollback("base", None, "policy-guard", None, "deaths: 9 against 1")
        assert (state.number, state.canary) == (1, None)
        assert (state.history[-1].who, state.history[-1].why) == ("policy-guard", "deaths: 9 against 1")

    run(tmp_path, body)


def test_a_change_based_on_what_is_over_is_refused(tmp_path: Path) -> None:
    async def body(room: PolicyDocuments) -> None:
        _, old, _ = await room.publish("base", SLOW, 100, "key-1", 0)
        await room.publish("base", FAST, 100, "key-1", old)
        for change in (
            lambda: room.publish("base", FAST, 100, "key-2", old),
            lambda: room.rollback("base", 1, "key-2", old),
            lambda: room.step("base", 10, "key-2", old),
        ):
            with pytest.raises(Conflict):
                await change()

    run(tmp_path, body)


def test_what_cannot_be_is_refused_with_its_reason(tmp_path: Path) -> None:
    async def body(room: PolicyDocuments) -> None:
        with pytest.raises(Refused, match="nothing beside it"):
            await room.publish("base", SLOW, 10, "key-1", None)
        await room.publish("base", SLOW, 100, "key-1", None)
        with pytest.raises(Refused, match="no canary"):
            await room.step("base", 10, "key-1", None)
        with pytest.raises(Refused, match="no version 7"):
            await room.rollback("base", 7, "key-1", None)
        await room.publish("base", FAST, 10, "key-1", None)
        with pytest.raises(Refused, match="is a canary"):
            await room.publish("base", FAST, 10, "key-1", None)
        await room.pause("base", True, "policy-guard", None, "rtt")
        with pytest.raises(Refused, match="paused"):
            await room.step("base", 50, "key-1", None)

    run(tmp_path, body)


def test_revisions_of_all_policies_differ_also_when_published_together(tmp_path: Path) -> None:
    async def body(room: PolicyDocuments) -> None:
        names = [f"policy-{number}" for number in range(8)]
        made = await asyncio.gather(*(room.publish(name, SLOW, 100, "key-1", None) for name in names))
        assert len({version.rev for _, _, version in made}) == len(names)

    run(tmp_path, body)


def test_a_policy_survives_its_text(tmp_path: Path) -> None:
    assert msgspec.json.decode(msgspec.json.encode(FAST), type=Policy) == FAST
