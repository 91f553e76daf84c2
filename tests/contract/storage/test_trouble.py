"""A store in trouble says so, stores nothing of what failed, and works again when the trouble is over."""

import asyncio
import os
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import apsw
import asyncpg
import pytest

from im_service.storage.errors import StoreUnavailable
from im_service.storage.postgres import PostgresStore
from im_service.storage.records import AppendResult, AppendStatus, Mark
from im_service.storage.sqlite import SqliteStore
from im_service.storage.store import Store
from tests.support.store_kit import EVERYTHING, Kit, append, everything, login, message, send


async def intact(store: Store) -> None:
    """The log goes on without a gap and without what was refused."""
    assert (await send(store, "s/a:b", "a", "after")).status == AppendStatus.NEW
    found = await everything(store, "a", "s/a:b")
    assert [(m.seq, m.client_id) for m in found] == [(1, "before"), (2, "after")]


async def test_locked_file(tmp_path: Path) -> None:
    path = tmp_path / "store.sqlite3"
    store = SqliteStore(path, busy_ms=30)
    await store.start()
    await send(store, "s/a:b", "a", "before")
    with closing(apsw.Connection(str(path))) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreUnavailable, match="locked by another program"):
            await send(store, "s/a:b", "a", "refused")
        with pytest.raises(StoreUnavailable, match="locked"):
            await store.set_profile("a", lambda _: b"", 1)
        assert len(await everything(store, "b", "s/a:b")) == 1, "readers do not mind"
        other.execute("ROLLBACK")
    await intact(store)
    await store.stop()


async def test_full_disk(tmp_path: Path) -> None:
    path = tmp_path / "store.sqlite3"
    store: Any = SqliteStore(path)
    await store.start()
    await send(store, "s/a:b", "a", "before")
    pages = store._conn.pragma("page_count")
    store._conn.pragma("max_page_count", pages + 3)
    big = [message("s/a:b", "a", f"big{number}", body=b"x" * 5000) for number in range(20)]
    with pytest.raises(StoreUnavailable, match="disk is full"):
        await append(store, big)
    with pytest.raises(StoreUnavailable, match="disk is full"):
        await store.create_group("x", "a", b"y" * 60_000, [], 5, 1)
    store._conn.pragma("max_page_count", 1 << 30)
    await intact(store)
    assert await store.groups(["x"]) == []
    await store.stop()


@contextmanager
def unreadable(path: Path) -> Iterator[None]:
    """Every read of these files fails with EIO: their descriptors lead to memory that nobody has."""
    nobodys = os.open("/proc/self/mem", os.O_RDONLY)
    files = {str(path), f"{path}-wal"}
    names = [int(name) for name in os.listdir("/proc/self/fd")]
    taken = [
        fd for fd in names if os.path.exists(link := f"/proc/self/fd/{fd}") and os.readlink(link) in files
    ]
    kept = {fd: os.dup(fd) for fd in taken}
    for fd in taken:
        os.dup2(nobodys, fd)
    try:
        yield
    finally:
        for fd, own in kept.items():
            os.dup2(own, fd)
        # Closing these would drop SQLite's locks, which nobody else wants here: they are left.
        os.close(nobodys)


@pytest.mark.parametrize("log", [True, False], ids=["log", "file"])
async def test_a_disk_that_fails_a_read_is_no_damage(tmp_path: Path, log: bool) -> None:
    """Whoever believed it put an older copy over a sound file."""
    path = tmp_path / "store.sqlite3"
    store: Any = SqliteStore(path, readers=1)
    await store.start()
    await send(store, "s/a:b", "a", "before")
    assert len(await everything(store, "b", "s/a:b")) == 1
    if not log:
        store._checkpointer._conn.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_RESTART)
    await store.set_profile("a", lambda _: b"changed", 1)  # caches are no use any more
    with unreadable(path):
        with pytest.raises(StoreUnavailable) as failed:
            await everything(store, "b", "s/a:b")
        assert "damaged" not in str(failed.value)
        assert "reading or writing the disk failed" in str(failed.value)
    await intact(store)
    await store.stop()


async def test_a_foreign_writer_is_noticed(tmp_path: Path) -> None:
    """Caches are dropped when another program committed to the file."""
    kit = Kit("sqlite", str(tmp_path / "store.sqlite3"))
    first, second = await kit.open(), await kit.open()
    for number in range(6):
        result = await send((first, second)[number % 2], "s/a:b", "a", str(number))
        assert result.seq == number + 1
    assert (await first.changed("b", "", 0, 5)).rows[0].last_seq == 6
    await kit.close()


async def test_not_a_database(tmp_path: Path) -> None:
    path = tmp_path / "store.sqlite3"
    path.write_bytes(b"not a database at all, but long enough to be one" * 100)
    with pytest.raises(StoreUnavailable, match="no SQLite database"):
        await SqliteStore(path).start()
    with pytest.raises(StoreUnavailable, match="cannot be opened"):
        await SqliteStore(tmp_path / "none" / "store.sqlite3").start()


async def test_server_cuts_the_writer(postgres_kit: Kit) -> None:
    store = await postgres_kit.open()
    await send(store, "s/a:b", "a", "before")
    holder = await asyncpg.connect(postgres_kit.where)
    lock = holder.transaction()
    await lock.start()
    await holder.execute("LOCK TABLE conversation IN ACCESS EXCLUSIVE MODE")
    waiting = asyncio.create_task(send(store, "s/a:b", "a", "refused"))
    cut = 0
    while not cut:
        cut = len(await holder.fetch(
            "SELECT pg_terminate_backend(l.pid) FROM pg_locks l WHERE NOT l.granted"
            " AND l.relation = 'conversation'::regclass"
        ))  # fmt: skip
    with pytest.raises(StoreUnavailable):
        await waiting
    await lock.rollback()
    await holder.close()
    await intact(store)


async def test_no_server(tmp_path: Path) -> None:
    with pytest.raises(StoreUnavailable, match="PostgreSQL"):
        await PostgresStore(f"postgresql://qw@/x?host={tmp_path}").start()


async def test_a_full_queue_refuses_at_once(kit: Kit) -> None:
    small = SqliteStore if kit.engine == "sqlite" else PostgresStore
    store = small(kit.where, max_queued=50)
    await store.start()
    answers: list[list[AppendResult] | BaseException] = []
    for number in range(40):
        store.append([message("s/a:b", "a", f"{number}.{i}") for i in range(20)], answers.append)
    await store.stop()
    refused = [answer for answer in answers if isinstance(answer, StoreUnavailable)]
    assert len(answers) == 40
    assert refused, "800 messages do not fit into a queue of 50"
    with pytest.raises(StoreUnavailable, match="closed"):
        await store.pull("a", "s/a:b", 1, None, 5, EVERYTHING)
    again = await kit.open()
    assert len(await everything(again, "a", "s/a:b")) == 20 * (40 - len(refused))


async def test_a_callback_that_raises_harms_nobody(store: Store) -> None:
    loop = asyncio.get_running_loop()
    told: list[dict[str, Any]] = []
    loop.set_exception_handler(lambda _loop, context: told.append(context))

    def broken(_answer: list[AppendResult] | BaseException) -> None:
        raise ZeroDivisionError

    store.append([message("s/a:b", "a", "1")], broken)
    assert (await send(store, "s/a:b", "a", "2")).seq == 2
    assert isinstance(told[0]["exception"], ZeroDivisionError)


async def test_a_caller_that_gave_up_harms_nobody(store: Store) -> None:
    task = asyncio.create_task(store.set_profile("a", lambda _: b"info", 1))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (await store.set_profile("b", lambda _: b"info", 1)).rev == 1
    assert [p.user for p in await store.profiles(["a", "b"])] == ["a", "b"]


async def test_a_value_that_cannot_be_stored_fails_alone(store: Store) -> None:
    """Numbers beyond 63 bits from one caller; everybody else in the same commit is served."""
    await login(store, "b", "phone", 1, 1, b"", 1)
    good = [asyncio.create_task(send(store, "s/a:b", "a", str(number))) for number in range(3)]
    bad = asyncio.create_task(send(store, "s/a:b", "a", "bad", time_ms=1 << 70))
    marks = asyncio.create_task(store.ack("b", "phone", [Mark("s/a:b", 1 << 70)]))
    profile = asyncio.create_task(store.set_profile("a", lambda _: b"info", 1 << 70))
    fine = asyncio.create_task(store.set_profile("c", lambda _: b"info", 1))
    answers = await asyncio.gather(*good, bad, marks, profile, fine, return_exceptions=True)
    assert [isinstance(answer, Exception) for answer in answers] == [False] * 3 + [True, False, True, False]
    assert [m.client_id for m in await everything(store, "b", "s/a:b")] == ["0", "1", "2"]
    assert await store.profiles(["a"]) == []
