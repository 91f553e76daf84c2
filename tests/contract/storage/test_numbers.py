"""Numbers that others remember are never given again: cursors of broadcasts, places of the sweeps."""

import asyncio
from contextlib import closing
from pathlib import Path

import asyncpg
import pytest

from im_service.storage import migrations
from im_service.storage.errors import StoreMissing
from im_service.storage.move import copy_store
from im_service.storage.postgres import connection as postgres
from im_service.storage.records import DEFAULT_BITS, HISTORY, Limits
from im_service.storage.sqlite import connection as sqlite
from im_service.storage.store import Store
from tests.support.store_kit import Kit, append, count, everything, message

DAY = 86_400_000
WEEK = Limits(7 * DAY, 7 * DAY, 7 * DAY)


async def swept(store: Store, now_ms: int) -> int:
    """Rows that are left."""
    while await store.expire(now_ms, WEEK, 7):
        pass
    return await count(store)


async def test_the_number_of_an_ended_broadcast_is_never_given_again(kit: Kit) -> None:
    store = await kit.open()
    first = await store.add_broadcast(b"one", 0, 1, 100)
    await store.end_broadcast(first.id)
    second = await store.add_broadcast(b"two", 0, 2, 100)
    assert await store.broadcasts(first.id, 3) == [second]
    await store.expire(200, Limits(0, 0, 0))
    await kit.close()
    store = await kit.open()
    third = await store.add_broadcast(b"three", 0, 201, 300)
    assert await store.broadcasts(second.id, 202) == [third]
    with pytest.raises(StoreMissing):
        await store.end_broadcast(first.id)


async def test_broadcasts_of_two_processes_are_seen_in_the_order_of_their_numbers(kit: Kit) -> None:
    """Whoever reads while they are made misses none behind its cursor."""
    one, other = await kit.open(), await kit.open()
    heard: list[int] = []

    async def listen() -> None:
        while len(heard) < 40:
            heard.extend([b.id for b in await other.broadcasts(heard[-1] if heard else 0, 2)])
            await asyncio.sleep(0)

    async with asyncio.timeout(60):
        made, _ = await asyncio.gather(
            asyncio.gather(*(side.add_broadcast(b"x", 0, 1, 9) for side in (one, other) for _ in range(20))),
            listen(),
        )
    assert heard == sorted(b.id for b in made)


def _earlier(engine: str, folder: Path, version: int) -> Path:
    for known in migrations.load(engine)[:version]:
        (folder / known.name).write_text(known.sql, encoding="utf-8")
    return folder


async def _before(kit: Kit, folder: Path) -> None:
    """A store as an earlier version left it."""
    if kit.engine == "sqlite":
        path = Path(kit.where)
        with closing(sqlite.connect(path, 1 << 20, 1000)) as file:
            sqlite.migrate(file, path, folder)
        return
    conn = await asyncpg.connect(kit.where)
    await postgres.migrate(conn, folder)
    await conn.close()


async def test_a_store_that_was_in_use_goes_on_above_all_numbers_it_may_have_given(
    kit: Kit, tmp_path: Path
) -> None:
    """Also where all its broadcasts have ended, and nobody knows any more how many there were."""
    await _before(kit, _earlier(kit.engine, tmp_path, 3))
    await kit.run("INSERT INTO incarnation (id, origin, made_ms) VALUES ('x', '', 1)")
    await kit.run("INSERT INTO broadcast (payload, platforms, created_ms, expires_ms) VALUES ('', 0, 1, 9)")
    await kit.run("DELETE FROM broadcast")
    store = await kit.open()
    assert (await store.add_broadcast(b"next", 0, 1, 9)).id > 1_000_000


async def test_a_new_store_begins_at_one(kit: Kit) -> None:
    assert (await (await kit.open()).add_broadcast(b"first", 0, 1, 9)).id == 1


async def test_a_copied_store_goes_on_above_the_numbers_that_were_given(
    tmp_path: Path, postgres_kit: Kit
) -> None:
    source = Kit("sqlite", str(tmp_path / "source.sqlite3"))
    store = await source.open()
    last = [await store.add_broadcast(b"x", 0, 1, 9) for _ in range(5)][-1]
    await store.end_broadcast(last.id)
    await source.close()
    await copy_store(source.where, postgres_kit.where)
    new = await postgres_kit.open()
    assert (await new.add_broadcast(b"x", 0, 1, 9)).id > last.id


async def test_a_log_that_was_empty_in_between_is_swept_like_any_other(store: Store) -> None:
    await append(store, [message("s/a:b", "a", str(i), time_ms=DAY) for i in range(40)])
    assert await swept(store, 20 * DAY) == 0
    await append(store, [message("s/a:b", "a", f"new{i}", time_ms=30 * DAY) for i in range(60)])
    assert await swept(store, 31 * DAY) == 60
    assert await swept(store, 60 * DAY) == 0


async def test_a_row_with_a_stamp_of_the_future_goes_when_its_class_ends(store: Store) -> None:
    """The sweep passes it, as what lies behind it is old already; that was for ever."""
    await append(store, [message("s/a:b", "a", str(i), time_ms=DAY) for i in range(5)])
    ahead = [message("s/a:c", "a", f"ahead{i}", time_ms=400 * DAY) for i in range(3)]
    brief = message("s/a:d", "a", "brief", time_ms=400 * DAY, bits=DEFAULT_BITS & ~HISTORY)
    await append(store, [*ahead, brief])
    await append(store, [message("s/a:b", "a", f"later{i}", time_ms=2 * DAY) for i in range(20)])
    assert await swept(store, 30 * DAY) == 4
    assert await swept(store, 406 * DAY) == 4, "views show it as long as any other"
    assert [m.seq for m in await everything(store, "c", "s/a:c")] == [1, 2, 3]
    assert await swept(store, 407 * DAY + 1) == 0
