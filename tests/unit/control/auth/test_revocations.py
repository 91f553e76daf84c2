"""Tokens that are over before their time: who is refused, for how long, and what wrong clocks do to it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from control.auth.revocations import PREFIX, Revocations, key_of
from control.coordination.sqlite_documents import SqliteDocuments
from tests.support.sdk_client import until

LIFE_S, SKEW_S = 86_400, 30


class Clock:
    def __init__(self) -> None:
        self.now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def documents(tmp_path: Path) -> AsyncIterator[SqliteDocuments]:
    made = SqliteDocuments(tmp_path / "c.sqlite3")
    await made.start()
    yield made
    await made.stop()


@pytest.fixture
async def revocations(documents: SqliteDocuments, clock: Clock) -> AsyncIterator[Revocations]:
    made = Revocations(documents, LIFE_S, SKEW_S, clock=clock)
    await made.start()
    yield made
    await made.stop(0)


async def heard(revocations: Revocations, user: str, device: str | None, moment: int) -> None:
    await until(lambda: revocations.not_before(user, device) == moment)


async def test_of_a_user_or_of_one_device(revocations: Revocations, clock: Clock) -> None:
    assert revocations.not_before("alice", "phone") == 0
    first = await revocations.revoke("alice", "phone")
    assert first == int(clock.now)
    await heard(revocations, "alice", "phone", first)
    assert revocations.not_before("alice", "tablet") == revocations.not_before("bob", "phone") == 0
    clock.now += 100
    second = await revocations.revoke("alice")
    await heard(revocations, "alice", "tablet", second)
    assert revocations.not_before("alice", "phone") == second
    assert revocations.count() == 2


async def test_a_token_that_is_signed_next_holds(revocations: Revocations, clock: Clock) -> None:
    assert revocations.signing_time("alice", None) == int(clock.now)
    moment = await revocations.revoke("alice")
    await heard(revocations, "alice", None, moment)
    assert revocations.signing_time("alice", None) == moment + 1
    clock.now += 5
    assert revocations.signing_time("alice", "phone") == int(clock.now)


async def test_a_clock_that_was_ahead_keeps_nobody_out(revocations: Revocations, clock: Clock) -> None:
    clock.now += 3600
    moment = await revocations.revoke("alice")
    await heard(revocations, "alice", None, moment)
    clock.now -= 3600
    assert revocations.not_before("alice", None) == int(clock.now) - 1
    assert revocations.signing_time("alice", None) == int(clock.now)


async def test_it_is_forgotten_when_no_such_token_can_live(
    revocations: Revocations, documents: SqliteDocuments, clock: Clock
) -> None:
    same = [f"u{n}" for n in range(3000) if key_of(f"u{n}") == key_of("u0")]
    assert len(same) > 3
    for user in same:
        await revocations.revoke(user)
    clock.now += LIFE_S + SKEW_S + 1
    last = await revocations.revoke(same[0])
    await heard(revocations, same[0], None, last)
    assert revocations.count() == 1
    assert [document.key for document in (await documents.list(PREFIX)).documents] == [key_of(same[0])]


async def test_many_at_once_are_all_kept(documents: SqliteDocuments, clock: Clock) -> None:
    several = [Revocations(documents, LIFE_S, SKEW_S, clock=clock) for _ in range(3)]
    for each in several:
        await each.start()
    users = [f"u{n}" for n in range(3000) if key_of(f"u{n}") == key_of("u0")]
    await asyncio.gather(*(several[n % 3].revoke(user) for n, user in enumerate(users[:6])))
    for each in several:
        await until(lambda each=each: each.count() == 6)
        await each.stop(0)


async def test_each_is_told_once(documents: SqliteDocuments, clock: Clock) -> None:
    told: list[tuple[str, str | None]] = []
    made = Revocations(documents, LIFE_S, SKEW_S, lambda *who: told.append(who), clock)
    await made.start()
    await made.revoke("u0", "phone")
    await until(lambda: told == [("u0", "phone")])
    clock.now += 1
    await made.revoke("u0")
    await until(lambda: len(told) == 2)
    assert told[1] == ("u0", None)
    await made.stop(0)


async def test_what_cannot_be_read_changes_nothing(
    revocations: Revocations, documents: SqliteDocuments
) -> None:
    moment = await revocations.revoke("alice")
    await heard(revocations, "alice", None, moment)
    await documents.put(key_of("alice"), b"{damaged")
    last = await documents.put("revoked/zz", b"{}")
    await until(lambda: revocations._replica.revision == last.revision)
    assert revocations.not_before("alice", None) == moment
