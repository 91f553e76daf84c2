"""Migrations apply once, never backwards; a copy to PostgreSQL is whole, resumable and goes on counting."""

import asyncio
import random
import sys
from contextlib import closing
from pathlib import Path

import asyncpg
import pytest

from im_service.storage import migrations
from im_service.storage.engine import telling
from im_service.storage.errors import SchemaError, SchemaTooNew, StoreConflict
from im_service.storage.event_records import NewEvent
from im_service.storage.move import Copied, copy_store
from im_service.storage.postgres import connection as postgres
from im_service.storage.records import (
    DEFAULT_BITS,
    HELD,
    RECEIPT,
    Aim,
    AppendStatus,
    DeadLetter,
    Hold,
    Mark,
    PushToken,
    QueueItem,
    Ruling,
)
from im_service.storage.sqlite import connection as sqlite
from tests.support.store_kit import Kit, append, everything, login, message, send

ROOT = Path(__file__).parents[3]


async def schema(kit: Kit) -> list[tuple[object, ...]]:
    return await kit.query("SELECT version, checksum, applied_ms FROM schema_migration ORDER BY version")


async def test_migrations_apply_once(kit: Kit) -> None:
    await asyncio.gather(*(kit.open() for _ in range(4)))
    before = await schema(kit)
    assert [row[0] for row in before] == [known.version for known in migrations.load(kit.engine)]
    await kit.close()
    await kit.open()
    assert await schema(kit) == before


async def test_a_newer_schema_is_refused_untouched(kit: Kit) -> None:
    await kit.open()
    await kit.close()
    await kit.run("INSERT INTO schema_migration VALUES (999, 'later', 'x', 1)")
    with pytest.raises(SchemaTooNew, match="999"):
        await kit.open()


async def test_a_changed_migration_is_refused(kit: Kit) -> None:
    await kit.open()
    await kit.close()
    await kit.run("UPDATE schema_migration SET checksum = 'other' WHERE version = 1")
    with pytest.raises(SchemaError, match="0001"):
        await kit.open()


async def test_data_of_the_first_schema_is_brought_up_to_date(kit: Kit, tmp_path: Path) -> None:
    """What was written before keeps its place, and the tables that changed work as new."""
    first = tmp_path / "first"
    first.mkdir()
    known = migrations.load(kit.engine)[0]
    (first / known.name).write_text(known.sql, encoding="utf-8")
    if kit.engine == "sqlite":
        path = Path(kit.where)
        with closing(sqlite.connect(path, 1 << 20, 1000)) as file:
            assert sqlite.migrate(file, path, first) == 1
    else:
        conn = await asyncpg.connect(kit.where)
        assert await postgres.migrate(conn, first) == 1
        await conn.close()
    await kit.run("INSERT INTO account (name) VALUES ('a')")
    store = await kit.open()
    assert (await store.accounts(["a"]))["a"].known
    assert (await store.begin_request("key", b"d", 3, 60, 9)).ticket
    assert [row[0] for row in await schema(kit)] == [known.version for known in migrations.load(kit.engine)]


@pytest.mark.parametrize("names", [("0002_late.sql",), ("0001_a.sql", "0001_b.sql")])
def test_numbers_begin_at_one_and_stand_once(tmp_path: Path, names: tuple[str, ...]) -> None:
    for name in names:
        (tmp_path / name).write_text("SELECT 1")
    with pytest.raises(SchemaError):
        migrations.load("sqlite", tmp_path)


def test_a_number_that_was_missing_is_applied_when_it_comes(tmp_path: Path) -> None:
    folder, path = tmp_path / "migrations", tmp_path / "store.sqlite3"
    folder.mkdir()
    for number in (1, 3):
        (folder / f"000{number}_made.sql").write_text(f"CREATE TABLE made{number} (id INTEGER)")
    with closing(sqlite.connect(path, 1 << 20, 1000)) as file:
        assert sqlite.migrate(file, path, folder) == 3
        (folder / "0002_late.sql").write_text("CREATE TABLE made2 (id INTEGER)")
        assert sqlite.migrate(file, path, folder) == 3
        assert sqlite.migrate(file, path, folder) == 3
        file.execute("SELECT * FROM made1, made2, made3").fetchall()
        (folder / "0002_late.sql").unlink()
        with pytest.raises(SchemaTooNew):
            sqlite.migrate(file, path, folder)


@pytest.fixture
async def source(tmp_path: Path) -> Kit:
    """A SQLite store with something in every table."""
    kit = Kit("sqlite", str(tmp_path / "source.sqlite3"))
    store = await kit.open()
    await store.create_group("x", "a", b"info", ["b", "c"], 10, 1)
    await append(store, [message("g/x", "a", str(i), target=Aim(("b",), True, False)) for i in range(40)])
    singles = [message(f"s/a:b{i % 9}", "a", f"single{i}", body=b"\0\xff%d" % i) for i in range(300)]
    await append(store, singles)
    await send(store, "g/x", "a", "read?", bits=DEFAULT_BITS | RECEIPT)
    await store.report("b", "g/x", [41], 2)
    held = message("g/x", "a", "held", bits=DEFAULT_BITS | HELD)._replace(hold=Hold(0, False, "list", 0))
    await append(store, [held])
    await store.report_message("b", "g/x", 4, "spam", "see", DEFAULT_BITS, 2)
    await store.decide(1, Ruling.REFUSED, "mia", "", 3)
    with telling(NewEvent(7, 3, "profile", "u/a", b"{}")):
        await store.set_account("a", 2, mute_room_ms=8)
    await store.commit_group("them", "cursor", None, 1, 1, b"\0note\xff")
    await store.bury(DeadLetter("shop", "1", "message.single", "s/a:b", "cursor", "refused", 1))
    await store.edit("g/x", 1, "a", b"edited", 2)
    await store.react("g/x", 2, "b", "ok", "", True, 2)
    await store.hide("b", "g/x", [3], 2)
    await store.befriend("a", "b", 3)
    await store.set_account("a", 3, mute_room_ms=9)
    await store.set_profile("b", lambda _: b"\xe5", 3)
    await store.set_push_token(PushToken("b", "phone", "apns", "app", "token", "en", 3), 5)
    await store.set_push_rules("b", lambda _: b"\xe6")
    await login(store, "b", "phone", 1, 5, b"", 3)
    await store.ack("b", "phone", [Mark("g/x", 5)])
    await store.open_requests("g/x", 1, ["z"], "z", "hi", 3)
    await store.create_room("r", "a", b"", 3)
    await store.set_room_member("r", "b", 3, black=True)
    await store.mute_tag("r", "vip", 9)
    await store.queue_put("r", [QueueItem("k", "v", "a", True, 0)], 5)
    await store.add_broadcast(b"all", 0, 3, 1 << 50)
    await store.begin_request("key", b"d", 3, 1 << 50, 9)
    await store.renew(b"i" * 16, 3)
    await append(store, [message("s/a:gone", "gone", "soon")])
    await store.begin_erasure("gone", 3)
    await kit.close()
    return kit


async def test_copy_resumes_and_goes_on(source: Kit, postgres_kit: Kit) -> None:
    steps: list[Copied] = []

    def interrupted(step: Copied) -> None:
        steps.append(step)
        if len(steps) in (3, 9, 30):
            raise KeyboardInterrupt

    for _ in range(3):
        with pytest.raises(KeyboardInterrupt):
            await copy_store(source.where, postgres_kit.where, chunk_rows=23, progress=interrupted)
    counted = await copy_store(source.where, postgres_kit.where, chunk_rows=23, progress=interrupted)
    assert counted["message"] == 343
    assert sum(step.table == "message" for step in steps) == 343 // 23 + 1, "no chunk was copied twice"
    with pytest.raises(StoreConflict, match="of this store already: nothing was done"):
        await copy_store(source.where, postgres_kit.where)
    other = await source.open()
    await other.renew(b"j" * 16, 4)
    await source.close()
    with pytest.raises(StoreConflict, match="of another store: name an empty database"):
        await copy_store(source.where, postgres_kit.where)

    old, new = await source.open(), await postgres_kit.open()
    for user in ("a", "b", None):
        assert await everything(new, user, "g/x") == await everything(old, user, "g/x")
    assert (await new.unread("b", None, 1)).counts == (await old.unread("b", None, 1)).counts
    cursor = (await old.changed("a", "", 0, 500)).cursor
    assert (await new.changed("a", "", cursor, 500)).rows == []
    again = await send(new, "s/a:b1", "a", "single1", body=b"\0\xff1")
    assert again.status == AppendStatus.DUPLICATE
    assert (await send(new, "s/a:b1", "a", "fresh")).seq == 35
    assert [row.conversation for row in (await new.changed("a", "", cursor, 500)).rows] == ["s/a:b1"]
    assert (await new.open_requests("g/x", 1, ["y"], "y", "", 4)).value[0].id == 2
    assert (await new.begin_request("another", b"d", 4, 60, 9)).ticket == 2
    await source.close()
    await postgres_kit.close()


async def test_copy_survives_kills(source: Kit, postgres_kit: Kit) -> None:
    """The copying process is killed again and again, each time after another number of chunks."""
    seed = random.randrange(1 << 32)
    print(f"seed {seed}")
    rng = random.Random(seed)
    program = (
        "import asyncio, sys; from im_service.storage.move import copy_store; asyncio.run(copy_store("
        "sys.argv[1], sys.argv[2], chunk_rows=5, progress=lambda step: print(step.table, flush=True)))"
    )
    for _ in range(4):
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", program, source.where, postgres_kit.where,
            cwd=ROOT, stdout=asyncio.subprocess.PIPE,
        )  # fmt: skip
        assert process.stdout is not None
        for _ in range(rng.randrange(1, 25)):
            assert await process.stdout.readline()
        process.kill()
        await process.wait()
    counted = await copy_store(source.where, postgres_kit.where)
    assert counted["message"] == 343
    assert (await postgres_kit.query("SELECT count(*) FROM send_key")) == [(343,)]


async def test_copy_refuses_a_full_target_and_a_changed_source(source: Kit, postgres_kit: Kit) -> None:
    def stop(step: Copied) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        await copy_store(source.where, postgres_kit.where, progress=stop)
    store = await source.open()
    await send(store, "s/a:b1", "a", "late")
    await source.close()
    with pytest.raises(StoreConflict, match="written"):
        await copy_store(source.where, postgres_kit.where)
    await postgres_kit.run("DROP TABLE copy_progress")
    with pytest.raises(StoreConflict, match="not empty"):
        await copy_store(source.where, postgres_kit.where)


async def test_every_table_is_copied(source: Kit, postgres_kit: Kit) -> None:
    counted = await copy_store(source.where, postgres_kit.where)
    names = {row[0] for row in await source.query("SELECT name FROM sqlite_master WHERE type = 'table'")}
    own = {name for name in names if not name.startswith("sqlite_")}
    assert own - {"incarnation", "meta", "schema_migration"} == counted.keys()
    assert all(counted.values()), counted


async def test_the_command_copies_once_and_says_so(source: Kit, postgres_kit: Kit) -> None:
    command = [sys.executable, "-m", "program", "store", "copy", source.where, postgres_kit.where]

    async def run() -> tuple[int | None, str]:
        process = await asyncio.create_subprocess_exec(
            *command, cwd=ROOT, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
        )
        shown, _ = await process.communicate()
        return process.returncode, shown.decode()

    code, shown = await run()
    assert (code, "343" in shown) == (0, True), shown
    code, shown = await run()
    assert (code, "nothing was done" in shown) == (1, True), shown


DISTRIBUTED_BY = {
    "conv": {
        "message", "message_version", "reaction", "receipt", "chat_group", "group_member", "room",
        "room_member", "room_tag_mute", "room_queue", "review", "report",
    },
    "usr": {
        "inbox", "hidden", "device", "device_mark", "account_state", "profile", "push_token",
        "push_rules",
    },
    "sender": {"send_key"}, "owner": {"relation"}, "scope": {"request"},
}  # fmt: skip
EVERYWHERE = {
    "account", "conversation", "broadcast", "idempotency", "incarnation", "meta", "schema_migration",
    "rule_verdict", "event", "event_group", "dead_letter", "erasure",
}  # fmt: skip


async def test_every_key_begins_with_the_column_its_rows_are_distributed_by(postgres_kit: Kit) -> None:
    await postgres_kit.open()
    keys = await postgres_kit.query(
        "SELECT t.relname, a.attname FROM pg_index i JOIN pg_class t ON t.oid = i.indrelid"
        " JOIN pg_attribute a ON a.attrelid = t.oid AND a.attnum = i.indkey[0]"
        " WHERE i.indisunique AND t.relnamespace = current_schema()::regnamespace"
    )
    column = {table: name for name, tables in DISTRIBUTED_BY.items() for table in tables}
    assert {(table, name) for table, name in keys if table not in EVERYWHERE} == set(column.items())
    tables = await postgres_kit.query("SELECT tablename FROM pg_tables WHERE schemaname = current_schema()")
    assert {name for (name,) in tables} == column.keys() | EVERYWHERE
