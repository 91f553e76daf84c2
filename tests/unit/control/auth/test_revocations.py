"""Tokens that are over before their time: who is refused, for how long, and that clocks play no part."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import msgspec
import pytest

from control.auth.revocations import DEVICES, PREFIX, SUBJECT, WRONG_S, Bucket, Revocations, key_of
from control.auth.tokens import unread_revocation
from control.bus.memory import MemoryBus
from control.coordination.documents import Document, DocumentsUnavailable
from control.coordination.sqlite_documents import SqliteDocuments
from tests.support.sdk_client import until

LIFE_S = 86_400
NOW = 1_800_000_000
HOUR = 3600


class Clock:
    def __init__(self, now: float = NOW) -> None:
        self.now = now

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


class Process(Revocations):
    """One whose clock is ahead by so many seconds."""

    def __init__(self, documents: SqliteDocuments, ahead: float) -> None:
        self.time = Clock(NOW + ahead)
        super().__init__(documents, LIFE_S, clock=self.time)


Make = Callable[[float], Awaitable[Process]]


@pytest.fixture
async def process(documents: SqliteDocuments) -> AsyncIterator[Make]:
    running: list[Process] = []

    async def make(ahead: float) -> Process:
        made = Process(documents, ahead)
        await made.start()
        running.append(made)
        return made

    yield make
    for each in running:
        await each.stop(0)


@pytest.fixture
async def revocations(documents: SqliteDocuments, clock: Clock) -> AsyncIterator[Revocations]:
    made = Revocations(documents, LIFE_S, clock=clock)
    await made.start()
    yield made
    await made.stop(0)


async def heard(revocations: Revocations, user: str, device: str, moment: int) -> None:
    await until(lambda: revocations.ended(user, device) == moment)


def holds(gateway: Revocations, token: int, user: str = "alice", device: str = "phone") -> bool:
    """As the login judges it."""
    return token >= gateway.ended(user, device)


async def test_of_a_user_or_of_one_device(revocations: Revocations, clock: Clock) -> None:
    assert revocations.ended("alice", "phone") == 0
    first = await revocations.revoke("alice", "phone")
    assert first == int(clock.now)
    await heard(revocations, "alice", "phone", first)
    assert revocations.ended("alice", "tablet") == revocations.ended("bob", "phone") == 0
    clock.now += 100
    second = await revocations.revoke("alice")
    await heard(revocations, "alice", "tablet", second)
    assert revocations.ended("alice", "phone") == second
    await until(lambda: revocations.count() == 1)  # that of the phone says no more


async def test_a_token_that_is_signed_next_holds_on_every_device_and_one_of_before_on_none(
    revocations: Revocations,
) -> None:
    before = revocations.latest("alice")
    moment = await revocations.revoke("alice", "phone")
    after = revocations.latest("alice")
    assert after == moment, "at once, before the replica hears it"
    await heard(revocations, "alice", "phone", moment)
    assert not holds(revocations, before)
    assert holds(revocations, before, device="tablet")
    assert holds(revocations, after)
    assert revocations.latest("bob") == 0


async def test_a_token_made_between_two_revocations_of_one_second_does_not_survive_the_second(
    revocations: Revocations,
) -> None:
    tokens = []
    for number in range(8):
        await revocations.revoke("alice", None if number % 2 else "phone")
        tokens.append(revocations.latest("alice"))
    await heard(revocations, "alice", "phone", NOW + 7)
    assert [holds(revocations, token) for token in tokens] == [False] * 7 + [True]


async def test_of_another_device_it_ends_tokens_of_any_signed_in_that_second(
    revocations: Revocations,
) -> None:
    await revocations.revoke("alice", "phone")
    token = revocations.latest("alice")
    moment = await revocations.revoke("alice", "tablet")
    await heard(revocations, "alice", "tablet", moment)
    assert holds(revocations, token, device="phone")
    assert not holds(revocations, token, device="tablet")


@pytest.mark.parametrize("behind", [1, 10, HOUR, 400 * 86_400])
async def test_a_second_one_by_a_clock_that_is_behind_brings_no_token_back(
    process: Make, behind: float
) -> None:
    right, late = await process(0), await process(-behind)
    old = right.latest("alice")
    first = await right.revoke("alice")
    token = right.latest("alice")
    assert await late.revoke("alice") == first + 1
    for gateway in (right, late):
        await heard(gateway, "alice", "phone", first + 1)
        assert not holds(gateway, old)
        assert not holds(gateway, token)
        assert holds(gateway, gateway.latest("alice"))


@pytest.mark.parametrize("ahead", [10, HOUR, 400 * 86_400])
async def test_a_clock_that_was_ahead_keeps_nobody_out_and_opens_nothing(process: Make, ahead: float) -> None:
    wrong, right = await process(ahead), await process(0)
    old = right.latest("bob")
    moment = await wrong.revoke("bob")
    await heard(right, "bob", "phone", moment)
    token = right.latest("bob")
    for after in (0, 1, 2, 30, HOUR, int(ahead) + 1):
        right.time.now = NOW + after
        assert holds(right, token, "bob"), f"{after} s later"
        assert holds(right, right.latest("bob"), "bob")
        assert not holds(right, old, "bob")
    right.time.now = NOW
    assert await right.revoke("bob") == moment + 1
    await heard(right, "bob", "phone", moment + 1)
    assert not holds(right, token, "bob")


async def test_a_clock_that_is_ahead_forgets_nothing_that_matters(process: Make) -> None:
    right, wrong = await process(0), await process(WRONG_S - 1)
    first, other = [f"u{n}" for n in range(60_000) if key_of(f"u{n}") == key_of("u0")][:2]
    moment = await right.revoke(first)
    await wrong.revoke(other)
    await until(lambda: right.count() == wrong.count() == 2)
    assert right.ended(first, "phone") == wrong.ended(first, "phone") == moment


async def test_it_is_forgotten_when_no_such_token_can_live(
    revocations: Revocations, documents: SqliteDocuments, clock: Clock
) -> None:
    same = [f"u{n}" for n in range(60_000) if key_of(f"u{n}") == key_of("u0")]
    assert len(same) > 3
    await asyncio.gather(*(revocations.revoke(user) for user in same))
    clock.now += LIFE_S + WRONG_S + 1
    last = await revocations.revoke(same[0])
    await heard(revocations, same[0], "", last)
    assert revocations.count() == 1
    assert [document.key for document in (await documents.list(PREFIX)).documents] == [key_of(same[0])]


async def test_whatever_clocks_do_a_token_holds_when_it_was_signed_after_the_last_one(process: Make) -> None:
    several = [await process(ahead) for ahead in (0, -7, 31, HOUR)]
    tokens: list[tuple[int, bool]] = []
    for _ in range(60):
        one = random.choice(several)
        one.time.now += random.choice((0, 0, 0, 1, -2, 40))
        if random.random() < 0.5:
            moment = await one.revoke("alice")
            tokens = [(token, False) for token, _ in tokens]
            for each in several:
                await heard(each, "alice", "phone", moment)
        tokens.append((one.latest("alice"), True))
        for gateway in several:
            assert [holds(gateway, token) for token, _ in tokens] == [good for _, good in tokens]


async def test_many_at_once_are_all_kept(process: Make) -> None:
    several = [await process(0) for _ in range(3)]
    users = [f"u{n}" for n in range(60_000) if key_of(f"u{n}") == key_of("u0")]
    await asyncio.gather(*(several[n % 3].revoke(user) for n, user in enumerate(users[:6])))
    for each in several:
        await until(lambda each=each: each.count() == 6)


class Counted(SqliteDocuments):
    puts = 0

    async def put(self, key: str, value: bytes, expected: int | None = None) -> Document:
        self.puts += 1
        return await super().put(key, value, expected)


async def test_those_of_one_process_wait_for_each_other_and_are_written_together(tmp_path: Path) -> None:
    documents = Counted(tmp_path / "c.sqlite3")
    await documents.start()
    made = Revocations(documents, LIFE_S, clock=Clock())
    await made.start()
    moments = await asyncio.gather(*(made.revoke("alice", f"phone-{n}") for n in range(DEVICES)))
    assert sorted(moments) == list(range(NOW, NOW + DEVICES))
    assert documents.puts <= 2
    await until(lambda: made.count() == DEVICES)
    asked = [asyncio.create_task(made.revoke("alice", f"phone-{n}")) for n in range(3)]
    await asyncio.sleep(0)
    asked[1].cancel()
    assert await asked[0] < await asked[2], "who stops waiting holds nobody else up"
    await made.stop(0)
    await documents.stop()
    with pytest.raises(DocumentsUnavailable):
        await made.revoke("alice")


async def test_names_of_devices_take_no_room_from_other_users(
    revocations: Revocations, documents: SqliteDocuments
) -> None:
    other = next(name for n in range(60_000) if key_of(name := f"u{n}") == key_of("fill"))
    await revocations.revoke(other)
    for number in range(20):
        names = [f"{number}-{n}-{'x' * 50}" for n in range(100)]
        await asyncio.gather(*(revocations.revoke("fill", name) for name in names))
        found = await documents.get(key_of("fill"))
        assert found is not None
        assert len(found.value) < 100 * DEVICES
    last = await revocations.revoke("fill", "one-more")
    await until(lambda: revocations.ended("fill", "one-more") == last)
    assert revocations.ended("fill", names[0]) > NOW, "over as well, with all of the user's"
    assert revocations.ended(other, "") == NOW
    everything = await revocations.revoke("fill")
    await heard(revocations, "fill", "one-more", everything)
    assert revocations.count() == 2


async def test_each_is_told_once(documents: SqliteDocuments, clock: Clock) -> None:
    told: list[tuple[str, str | None]] = []
    made = Revocations(documents, LIFE_S, lambda *who: told.append(who), clock)
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
    await heard(revocations, "alice", "phone", moment)
    await documents.put(key_of("alice"), b"{damaged")
    last = await documents.put("revoked/zz", b"{}")
    await until(lambda: revocations._replica.revision == last.revision)
    assert revocations.ended("alice", "phone") == moment
    with pytest.raises(DocumentsUnavailable, match="cannot be read"):
        await revocations.revoke("alice")


async def test_what_was_heard_stays_over_where_the_document_goes_back_and_is_written_again(
    revocations: Revocations, documents: SqliteDocuments
) -> None:
    other = next(name for n in range(60_000) if key_of(name := f"u{n}") == key_of("alice"))
    moment = await revocations.revoke("alice")
    await heard(revocations, "alice", "phone", moment)
    for document in (b'{"alice":{"":7}}', b"{}", None):
        if document is None:
            await documents.delete(key_of("alice"))
        else:
            await documents.put(key_of("alice"), document)
        last = await documents.put("revoked/zz", b"{}")
        await until(lambda last=last: revocations._replica.revision == last.revision)
        assert revocations.ended("alice", "phone") == moment
    await revocations.revoke(other)
    found = await documents.get(key_of("alice"))
    assert found is not None
    assert msgspec.json.decode(found.value, type=Bucket)["alice"] == {"": moment}


async def test_revocations_that_the_documents_lost_are_put_back_by_who_heard_of_them(
    documents: SqliteDocuments, process: Make
) -> None:
    """Emptied, or from a snapshot of before: a process that starts then refuses as the others do."""
    one, other = await process(0), await process(0)
    first = await one.revoke("ann")
    await heard(other, "ann", "d", first)
    snapshot = await documents.get(key_of("ann"))
    assert snapshot is not None
    second = await one.revoke("ann")
    await heard(other, "ann", "d", second)
    for harm in (
        lambda: documents.put(snapshot.key, snapshot.value, None),
        lambda: documents.delete(snapshot.key, None),
    ):
        await harm()
        async with asyncio.timeout(10):
            while await stored(documents, "ann") != second:
                await asyncio.gather(one.tick(), other.tick())
                await asyncio.sleep(0.01)
        assert one.ended("ann", "d") == other.ended("ann", "d") == second
    fresh = await process(0)
    assert fresh.ended("ann", "d") == second
    before = await documents.get(snapshot.key)
    for each in (one, other, fresh):
        await each.tick()
    await asyncio.sleep(0.05)
    assert await documents.get(snapshot.key) == before, "once"


async def stored(documents: SqliteDocuments, user: str) -> int:
    document = await documents.get(key_of(user))
    bucket = msgspec.json.decode(document.value, type=Bucket) if document is not None else {}
    return max(bucket.get(user, {}).values(), default=0)


async def test_what_an_earlier_version_kept_in_fewer_documents_is_heeded_and_carried_over(
    documents: SqliteDocuments, process: Make
) -> None:
    await documents.put(f"{PREFIX}61", msgspec.json.encode({"u3": {"": NOW - 60, "d": NOW - 90}}), 0)
    one = await process(0)
    assert one.ended("u3", "d") == NOW - 60
    assert one.latest("u3") == NOW - 60
    async with asyncio.timeout(10):
        while await stored(documents, "u3") != NOW - 60:
            await one.tick()
            await asyncio.sleep(0.01)


async def test_while_documents_of_an_earlier_version_are_there_its_gateways_hear_too(
    documents: SqliteDocuments, process: Make
) -> None:
    one, fresh = await process(0), "revoked/{:02x}".format
    await one.revoke("u1")
    assert {document.key for document in (await documents.list(PREFIX)).documents} == {key_of("u1")}
    await documents.put(fresh(0x61), msgspec.json.encode({"u3": {"d": NOW - 90}}), 0)
    await until(lambda: one.ended("u3", "d") == NOW - 90)
    await one.revoke("u3")
    device = await one.revoke("u2", "phone")
    kept: Bucket = {}
    for document in (await documents.list(PREFIX)).documents:
        if len(document.key) == len(fresh(0)):
            kept |= msgspec.json.decode(document.value, type=Bucket)
    assert kept == {"u3": {"": NOW}, "u2": {"phone": device}}


async def test_a_signer_that_reads_nothing_names_no_moment_that_may_come(process: Make) -> None:
    """Its clock is ahead by as much as clocks may differ."""
    one = await process(0)
    named = unread_revocation(int(NOW + 30), 30)
    assert named < await one.revoke("ann")


async def test_a_gateway_that_alone_is_cut_off_from_the_documents_hears_of_it_on_the_bus(
    documents: SqliteDocuments, tmp_path: Path, clock: Clock
) -> None:
    """It has what it knew, and nothing comes; what the documents tell later is no news."""
    away = SqliteDocuments(tmp_path / "none.sqlite3")
    await away.start()
    bus, closed = MemoryBus(), list[tuple[str, str | None]]()
    await bus.start()
    control = Revocations(documents, LIFE_S, clock=clock, bus=bus)
    cut_off = Revocations(away, LIFE_S, lambda *who: closed.append(who), clock, bus)
    await control.start()
    await cut_off.start()
    first = await control.revoke("alice", "phone")
    await heard(cut_off, "alice", "phone", first)
    second = await control.revoke("alice")
    await heard(cut_off, "alice", "tablet", second)
    assert closed == [("alice", "phone"), ("alice", None)]
    assert cut_off.latest("alice") == second, "what it signs now holds elsewhere too"
    written = await documents.get(key_of("alice"))
    assert written is not None
    await away.put(written.key, written.value)
    bus.publish(SUBJECT, b"no words of this version")
    third = await control.revoke("bob")
    await heard(cut_off, "bob", "", third)
    await until(lambda: key_of("alice") in cut_off._replica._held)
    assert closed == [("alice", "phone"), ("alice", None), ("bob", None)]
    for each in (control, cut_off):
        await each.stop(0)
    await away.stop()
    await bus.close()
