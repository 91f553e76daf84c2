"""Who reads the durable copy from page to page gets every committed event, in order, and no other."""

from __future__ import annotations

import asyncio
import random
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from unittest.mock import ANY

import asyncpg
import pytest

from im_service.options import DEFAULT_BITS as ROUTED
from im_service.outbox.log import StoreEventLog
from im_service.outbox.ports import (
    EVERYTHING,
    NOTE_BYTES,
    CursorGone,
    CursorInvalid,
    Event,
    EventFilter,
    GroupTaken,
)
from im_service.ports import SystemClock
from im_service.storage.engine import telling
from im_service.storage.errors import StoreConflict, StoreFull
from im_service.storage.event_records import NewEvent
from im_service.storage.move import copy_store
from im_service.storage.ops.incarnation import Seen
from im_service.storage.records import Limits
from im_service.storage.store import Store
from tests.support.store_kit import Kit, append, message

DAY = 86_400_000
FIRST, SECOND = bytes([1]) * 16, bytes([2]) * 16
BODY = b"\x81\xa4text\xa2hi\x80\xc0"


def log_of(store: Store, groups_max: int = 3) -> StoreEventLog:
    return StoreEventLog(store, SystemClock(), groups_max)


def said(number: int, subject: str = "u/a", kind: str = "session.login", time_ms: int = 1000) -> NewEvent:
    return NewEvent(number, time_ms, kind, subject, b'{"n": %d}' % number)


async def tell(store: Store, *events: NewEvent) -> None:
    done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    store.record(events, lambda error: done.set_exception(error) if error else done.set_result(None))
    await done


async def write(store: Store, conversation: str, *names: str, time_ms: int = 1000) -> None:
    await append(
        store,
        [message(conversation, "a", name, body=BODY, bits=ROUTED, time_ms=time_ms) for name in names],
    )


async def drained(
    log: StoreEventLog, cursor: str, limit: int = 7, wanted: EventFilter = EVERYTHING
) -> list[Event]:
    found: list[Event] = []
    while True:
        page = await log.read(cursor, limit, wanted)
        found += page.events
        cursor = page.next
        if not page.more:
            return found


def names(events: Sequence[Event]) -> list[object]:
    return [event.data.get("client_id", event.data.get("n")) for event in events]


async def test_messages_and_events_come_in_the_order_of_their_commits(kit: Kit) -> None:
    store = await kit.open()
    log = log_of(store)
    start = await log.head()
    await tell(store, said(1), said(2))
    await write(store, "s/a:b", "x", "y")
    await tell(store, said(3))
    with telling(said(4, "r/hall", "room.create")):
        await store.create_room("hall", "", b"", 1)
    await write(store, "s/a:b", "z")
    found = await drained(log, start)
    assert names(found) == [1, 2, "x", "y", 3, 4, "z"]
    for at, event in enumerate(found):
        assert names(await drained(log, event.cursor, 2)) == names(found[at + 1 :])
    assert await log.head() == (await log.read(found[-1].cursor, 10)).next
    assert names(await drained(log, await log.first())) == names(found)
    assert names(await drained(log, start, 1, EventFilter(("room.*", "message.single")))) == [
        "x",
        "y",
        4,
        "z",
    ]


async def test_an_event_is_there_exactly_when_its_change_is(kit: Kit) -> None:
    store = await kit.open()
    log = log_of(store)
    start = await log.head()
    await store.create_room("hall", "", b"", 1)
    with pytest.raises(StoreConflict), telling(said(1, "r/hall", "room.create")):
        await store.create_room("hall", "", b"", 1)
    assert await drained(log, start) == []


async def test_who_waits_is_woken_by_a_commit_of_any_process(kit: Kit) -> None:
    store = await kit.open()
    log = log_of(store)
    head = await log.head()
    assert not await log.wait(head, 0.05)
    waiting = asyncio.create_task(log.wait(head, 60))
    await asyncio.sleep(0)
    await write(await kit.open() if kit.engine == "postgres" else store, "s/a:b", "x")
    assert await waiting
    assert await log.wait(head, 60), "at once"
    assert await log.wait("what", 60)


async def test_a_row_that_is_committed_late_is_not_skipped(postgres_kit: Kit) -> None:
    """Its number was drawn before those of others that were read."""
    store, reader = await postgres_kit.open(), log_of(await postgres_kit.open())
    await write(store, "s/a:b", "first")
    cursor = await reader.head()
    late = await asyncpg.connect(postgres_kit.where)
    for end, kept in (("COMMIT", True), ("ROLLBACK", False)):
        await late.execute("BEGIN")
        await late.execute(
            "INSERT INTO event (id, pos, server_id, time_ms, kind, subject, env, data)"
            " SELECT n, n, 77, 1, 'late', 'u/a', '', '{\"n\": 77}'"
            " FROM (SELECT nextval('message_id_seq') n) s"
        )
        await write(store, "s/a:c", f"after {end}")
        assert await drained(reader, cursor) == [], "nothing is read past a number that may still come"
        assert not await reader.wait(cursor, 0.05)
        waiting = asyncio.create_task(reader.wait(cursor, 60))
        await late.execute(end)
        assert await waiting
        found = await drained(reader, cursor)
        assert names(found) == ([77] if kept else []) + [f"after {end}"]
        cursor = found[-1].cursor
    await late.close()


async def test_a_transaction_elsewhere_holds_no_reader_up(postgres_kit: Kit) -> None:
    """It has a number of its own, and may run for hours."""
    store = await postgres_kit.open()
    log = log_of(store)
    start = await log.head()
    other = await asyncpg.connect(postgres_kit.where)
    await other.execute("CREATE TABLE theirs (n BIGINT)")
    await other.execute("BEGIN")
    await other.execute("INSERT INTO theirs VALUES (1)")
    await other.execute("SELECT count(*) FROM message")
    await write(store, "s/a:b", "x")
    assert names(await drained(log, start)) == ["x"]
    await other.close()


async def test_many_writers_and_a_reader_between_them(kit: Kit) -> None:
    """Of every conversation in the order of seq, of every user in that of their events."""
    rng = random.Random()
    writers = [await kit.open() for _ in range(3 if kit.engine == "postgres" else 1)]
    log = log_of(await kit.open() if kit.engine == "postgres" else writers[0])
    start = cursor = await log.head()
    total, got = 0, []
    done = asyncio.Event()

    async def work(number: int, store: Store) -> None:
        nonlocal total
        for turn in range(25):
            chats = rng.sample(["s/a:b", "s/a:c", "s/a:d", "s/a:e"], rng.randint(1, 3))
            batch = [
                message(chat, "a", f"{number}-{turn}-{at}-{chat}", body=BODY, bits=ROUTED)
                for chat in chats
                for at in range(rng.randint(1, 4))
            ]
            event = said(number * 1000 + turn, f"u/{number}")
            await asyncio.gather(append(store, batch), tell(store, event))
            total += len(batch) + 1

    async def read() -> None:
        nonlocal cursor
        while True:
            ended = done.is_set()
            page = await log.read(cursor, rng.randint(1, 20))
            got.extend(page.events)
            cursor = page.next
            if not page.more and ended:
                return
            if not page.more:
                await log.wait(cursor, 0.05)

    reading = asyncio.create_task(read())
    async with asyncio.timeout(60):
        await asyncio.gather(*(work(number, store) for number, store in enumerate(writers)))
        done.set()
        await reading
    assert len(got) == total == len({event.event_id + event.subject for event in got})
    order: dict[str, list[int]] = defaultdict(list)
    for event in got:
        order[event.subject].append(int(str(event.data.get("seq", event.data.get("n")))))
    assert all(seen == sorted(seen) for seen in order.values())
    assert [event[:6] for event in await drained(log, start, 50)] == [event[:6] for event in got]


async def test_whoever_was_too_slow_is_told_and_goes_on_with_what_is_left(kit: Kit) -> None:
    store = await kit.open()
    log = log_of(store)
    start = await log.head()
    short = message("s/a:b", "a", "short", body=BODY, bits=ROUTED, expires_ms=5)
    await append(store, [short])
    await write(store, "s/a:b", "long", "last", time_ms=10 * DAY)
    await tell(store, said(1), said(2, time_ms=10 * DAY))
    while await store.expire(3 * DAY, Limits(0, 0, 0)):
        pass
    assert await store.expire_events(5 * DAY, 0) == 1
    with pytest.raises(CursorGone) as gone:
        await log.read(start, 10)
    assert names(await drained(log, gone.value.go_on)) == ["long", "last", 2]
    assert names(await drained(log, await log.first())) == ["long", "last", 2]
    assert (await log.lag(start)).events == 3
    assert await drained(log, await log.head()) == []


async def test_numbers_are_never_given_again(kit: Kit) -> None:
    """Also when everything has expired: whoever stands there gets what comes."""
    store = await kit.open()
    log = log_of(store)
    await append(
        store, [message("s/a:b", "a", str(n), body=BODY, bits=ROUTED, expires_ms=5) for n in range(3)]
    )
    await tell(store, said(1))
    cursor = await log.head()
    while await store.expire(9 * DAY, Limits(0, 0, 0)):
        pass
    while await store.expire_events(9 * DAY, 0):
        pass
    await write(store, "s/a:b", "new")
    await tell(store, said(2))
    assert names(await drained(log, cursor)) == ["new", 2]


async def test_a_move_to_postgresql_keeps_cursors(tmp_path: Path, postgres_kit: Kit) -> None:
    """Also where events were numbered far above the messages."""
    kit = Kit("sqlite", str(tmp_path / "store.sqlite3"))
    store = await kit.open()
    await store.beat(Seen(), FIRST, 1)
    await write(store, "s/a:b", "x", "y")
    for n in range(20):
        await tell(store, said(n))
    await write(store, "s/a:b", "z")
    whole = await drained(log_of(store), await log_of(store).first())
    await kit.close()
    await copy_store(kit.where, postgres_kit.where)
    store = await postgres_kit.open()
    log = log_of(store)
    await write(store, "s/a:b", "new")
    await tell(store, said(99))
    for at in (0, 3, 15, 22):
        assert names(await drained(log, whole[at].cursor)) == [*names(whole[at + 1 :]), "new", 99]


async def test_events_are_bounded_by_their_bytes(kit: Kit) -> None:
    store = await kit.open()
    log = log_of(store)
    for n in range(20):
        await tell(store, said(n))
    whole = await store.event_volume(0)
    assert (whole.rows, whole.cut) == (20, 0)
    some = await store.event_volume(whole.size // 2)
    assert 8 <= some.rows <= 11
    while await store.expire_events(0, some.cut, 3):
        pass
    assert names(await drained(log, await log.first())) == list(range(20 - some.rows, 20))


async def test_a_cursor_outlives_its_life_as_far_as_the_next_one_took_over(kit: Kit) -> None:
    store = await kit.open()
    log = log_of(store)
    before = await log.first()
    await store.beat(Seen(), FIRST, 1)
    await write(store, "s/a:b", "both")
    await tell(store, said(1))
    common = await log.head()
    looked = await store.beat(Seen(), SECOND, 1)
    await write(store, "s/a:b", "lost, or of the new life already")
    ahead = await log.head()
    await store.beat(Seen(b"x" * 16, looked.beat), SECOND, 2)
    await write(store, "s/a:b", "new")
    rest = ["lost, or of the new life already", "new"]
    assert names(await drained(log, common)) == rest
    assert names(await drained(log, before)) == ["both", 1, *rest]
    with pytest.raises(CursorGone) as gone:
        await log.read(ahead, 10)
    assert names(await drained(log, gone.value.go_on)) == rest, "again rather than never"


async def test_a_cursor_of_a_store_that_is_not_known_here_begins_anew(kit: Kit) -> None:
    store = await kit.open()
    log = log_of(store)
    await store.beat(Seen(), FIRST, 1)
    await write(store, "s/a:b", "x")
    head = await log.head()
    await kit.run(
        "UPDATE incarnation SET id = " + ("x'%s'" if kit.engine == "sqlite" else "'\\x%s'") % ("07" * 16)
    )
    with pytest.raises(CursorGone) as gone:
        await log.read(head, 10)
    assert names(await drained(log, gone.value.go_on)) == ["x"]


@pytest.mark.parametrize("text", ["", "x", "AAAA", "é", "A" * 65, "_" * 64, "AQ" + "A" * 40])
async def test_what_is_no_cursor_is_refused(store: Store, text: str) -> None:
    with pytest.raises(CursorInvalid):
        await log_of(store).read(text, 1)


async def test_groups_keep_cursors_and_bound_themselves(kit: Kit) -> None:
    store = await kit.open()
    log = log_of(store)
    first = await log.first()
    made = await log.commit("one", first, 0)
    assert (made.revision, made.cursor) == (1, first)
    await write(store, "s/a:b", "x")
    head = await log.head()
    assert (await log.lag(first)).events == 1
    assert (await log.lag(head)) == (0, 0.0)
    assert (await log.commit("one", head)).revision == 2
    with pytest.raises(GroupTaken):
        await log.commit("one", first, 1)
    await log.commit("two", first)
    await log.commit("three", first)
    with pytest.raises(StoreFull):
        await log.commit("four", first)
    await kit.close()
    log = log_of(await kit.open())
    assert [(group.name, group.revision) for group in await log.groups()] == [
        ("one", 2),
        ("three", 1),
        ("two", 1),
    ]
    assert await log.drop("two")
    assert not await log.drop("two")
    assert await log.group("two") is None


async def test_a_note_is_kept_with_its_cursor_and_fenced_as_it_is(kit: Kit) -> None:
    log = log_of(await kit.open())
    first = await log.first()
    note = bytes(range(256)) * (NOTE_BYTES // 256)
    assert (await log.commit("one", first)).note == b""
    assert (await log.commit("one", first, 1, note)).note == note
    with pytest.raises(GroupTaken):
        await log.commit("one", first, 1, b"of one who was taken for dead")
    assert (await log.commit("one", first, 2)).note == note, "who says nothing of it changes nothing"
    with pytest.raises(ValueError, match="16384"):
        await log.commit("one", first, 3, note + b"x")
    await log.commit("two", first, 0, b"2")
    await kit.close()
    log = log_of(await kit.open())
    assert await log.group("one") == ("one", first, 3, ANY, note)
    assert [(group.name, group.note) for group in await log.groups()] == [("one", b""), ("two", b"")]
    assert (await log.commit("one", first, 3, b"")).note == b""
    await log.drop("two")
    assert (await log.commit("two", first, 0)).note == b""


async def test_a_reader_by_time_misses_nothing_of_that_time(kit: Kit) -> None:
    store = await kit.open()
    log = log_of(store)
    for day in range(5):
        await append(
            store,
            [
                message("s/a:b", "a", f"{day}-{n}", body=BODY, bits=ROUTED, time_ms=day * DAY)
                for n in range(1500)
            ],
        )
    cursor = await log.at_time(3 * DAY)
    found = names(await drained(log, cursor, 1000))
    assert found[-3000:] == [f"{day}-{n}" for day in (3, 4) for n in range(1500)]
    assert len(found) == 3_000, "and nothing of before it"


async def test_a_time_is_found_exactly_in_a_store_of_few(kit: Kit) -> None:
    store = await kit.open()
    log = log_of(store)
    for hour in range(1, 6):
        await append(
            store, [message("s/a:b", "a", str(hour), body=BODY, bits=ROUTED, time_ms=hour * 3_600_000)]
        )
    assert len(await drained(log, await log.at_time(0))) == 5
    for hour in range(1, 6):
        for time_ms in (hour * 3_600_000, (hour - 1) * 3_600_000 + 1):
            found = names(await drained(log, await log.at_time(time_ms)))
            assert found == [str(each) for each in range(hour, 6)]
    assert await log.at_time(5 * 3_600_000 + 1) == await log.head()
