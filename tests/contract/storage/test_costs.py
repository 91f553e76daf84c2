"""What one operation writes and reads, counted by the engine itself, not by a clock."""

import re
from contextlib import closing
from pathlib import Path
from typing import Any

import apsw

from im_service.storage.ops import inbox, messages, upkeep
from im_service.storage.queue import Reads
from im_service.storage.records import FILTERED, PERSISTENT, Mark, View
from im_service.storage.sqlite import runner
from im_service.storage.store import Store
from tests.support.store_kit import EVERYTHING, Kit, append, count, login, message, send

MEMBERS = 2_000


async def rows_in(kit: Kit) -> dict[str, int]:
    """Rows per table."""
    if kit.engine == "sqlite":
        names = await kit.query("SELECT name FROM sqlite_master WHERE type = 'table'")
    else:
        names = await kit.query("SELECT tablename FROM pg_tables WHERE schemaname = current_schema()")
    return {name: (await kit.query(f"SELECT count(*) FROM {name}"))[0][0] for (name,) in names}


async def written_with_last_message(kit: Kit) -> dict[str, int]:
    """PostgreSQL: rows per table written by the transaction that stored the newest message."""
    marked = {
        table: (await kit.query(
            f"SELECT count(*) FROM {table} WHERE xmin = (SELECT xmin FROM message ORDER BY id DESC LIMIT 1)"
        ))[0][0]
        for table in await rows_in(kit)
    }  # fmt: skip
    return {table: rows for table, rows in marked.items() if rows}


async def big_group(store: Store) -> None:
    users = [f"u{number:04}" for number in range(MEMBERS - 1)]
    await store.create_group("big", "owner", b"", users, MEMBERS, 1)
    await send(store, "g/big", "owner", "first")


async def test_a_message_to_a_big_group_is_one_row(kit: Kit) -> None:
    store = await kit.open()
    await big_group(store)
    before = await rows_in(kit)
    assert before["group_member"] == MEMBERS
    await send(store, "g/big", "u0001", "second")
    after = await rows_in(kit)
    grown = {table: after[table] - before[table] for table in after if after[table] != before[table]}
    assert grown == ({"message": 1} if kit.engine == "sqlite" else {"message": 1, "send_key": 1})


async def test_rows_changed_by_a_group_message_sqlite(tmp_path: Path) -> None:
    kit = Kit("sqlite", str(tmp_path / "store.sqlite3"))
    store: Any = await kit.open()
    await big_group(store)
    writer: apsw.Connection = store._conn
    before = writer.total_changes()
    await send(store, "g/big", "u0001", "second")
    changed = writer.total_changes() - before
    await kit.close()
    assert changed == 3, "the message, its conversation's end, the change counter"


async def test_rows_changed_by_a_group_message_postgres(postgres_kit: Kit) -> None:
    store = await postgres_kit.open()
    await big_group(store)
    await send(store, "g/big", "u0001", "second")
    changed = await written_with_last_message(postgres_kit)
    assert changed == {"message": 1, "send_key": 1, "conversation": 1}


async def test_reading_marks_writes_one_row_each(kit: Kit) -> None:
    store = await kit.open()
    await big_group(store)
    await login(store, "u0001", "phone", 1, 1, b"", 1)
    before = await rows_in(kit)
    await store.read("u0001", [Mark("g/big", 1)])
    await store.ack("u0001", "phone", [Mark("g/big", 1)])
    after = await rows_in(kit)
    assert {t: after[t] - before[t] for t in after if after[t] != before[t]} == {"device_mark": 1}


async def test_catch_up_reads_only_what_is_lacking(kit: Kit) -> None:
    """Away while messages came in some conversations of many: only those are named, only those are pulled."""
    store = await kit.open()
    await append(store, [message(f"s/a:p{n:03}", "a", f"old{n}") for n in range(500)])
    await login(store, "a", "phone", 1, 1, b"", 1)
    cursor = (await store.changed("a", "phone", 0, 1000)).cursor
    await append(store, [message(f"s/a:p{n % 50:03}", f"p{n % 50:03}", f"new{n}") for n in range(2000)])
    named, pulled, more = 0, 0, True
    view = View(((PERSISTENT, 0),), 1, sync=True)
    while more:
        page = await store.changed("a", "phone", cursor, 20)
        named += len(page.rows)
        for row in page.rows:
            part = await store.pull("a", row.conversation, 2, None, 200, view)
            assert not part.more
            assert not any(m.flags & FILTERED for m in part.items)
            pulled += len(part.items)
        cursor, more = page.cursor, page.more
    assert (named, pulled) == (50, 2000)


async def test_reads_use_indexes(tmp_path: Path) -> None:
    """No statement of the pull, change and unread path, nor of the stats of each second, walks a table."""
    kit = Kit("sqlite", str(tmp_path / "store.sqlite3"))
    store = await kit.open()
    await append(store, [message(f"s/a:p{n}", "a", f"old{n}") for n in range(50)])
    await kit.close()
    seen: list[str] = []
    with closing(apsw.Connection(kit.where)) as conn:

        def trace(_cursor: apsw.Cursor, sql: str, _args: object) -> bool:
            seen.append(sql)
            return True

        conn.exec_trace = trace
        reads = Reads()
        runner.read(conn, inbox.changed("a", "phone", 0, 10), reads)
        runner.read(conn, inbox.unread("a", None, 1), reads)
        runner.read(conn, inbox.unread("a", ["s/a:p1"], 1), reads)
        runner.read(conn, messages.pull("a", "s/a:p1", 1, None, 10, EVERYTHING, False), reads)
        runner.read(conn, messages.sees("a", "s/a:p1", [1], 1), reads)
        runner.read(conn, messages.audience("s/a:p1", 1, 1, True), reads)
        runner.read(conn, upkeep.stats(), reads)
        assert (reads.operations, reads.rows > 0) == (7, True)
        conn.exec_trace = None
        for sql in [text for text in seen if text.startswith("SELECT")]:
            bindings = [0] * max(map(int, re.findall(r"\?(\d+)", sql)), default=0)
            plan = [str(row[3]) for row in conn.execute("EXPLAIN QUERY PLAN " + sql, bindings)]
            parts = {step.replace("CO-ROUTINE", "SCAN") for step in plan if step.startswith("CO-ROUTINE")}
            walks = [s for s in plan if s.startswith("SCAN") and "json_each" not in s and s not in parts]
            assert not walks, (sql, plan)


async def test_stats_tell_the_last_numbers_without_counting(kit: Kit) -> None:
    store = await kit.open()
    empty = await store.stats()
    assert [empty[f"last_{row}"] for row in ("message", "conversation", "account")] == [0, 0, 0]
    await append(store, [message(f"s/a:p{n % 100:03}", "a", f"m{n}") for n in range(2000)])
    tables = ("message", "conversation", "account")
    stats, counted = await store.stats(), [await count(store, table) for table in tables]
    assert counted == [2000, 100, 101]
    for table, held in zip(tables, counted, strict=True):
        assert stats[f"last_{table}"] >= held
    if kit.engine == "postgres":
        await kit.run("ANALYZE")
        for table in tables:
            plan = "\n".join(row[0] for row in await kit.query(f"EXPLAIN SELECT max(id) FROM {table}"))
            assert "Index" in plan, plan
