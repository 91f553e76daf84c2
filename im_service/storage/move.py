"""Moves a store from SQLite to PostgreSQL: table by table in key order, resumable, checked at the end.

Every chunk and the note of how far it reached are one transaction of the target, so a copy that was killed
goes on where it stopped. While it runs, the source is held so that no server can write to it. When all rows
are there, both sides are read again in key order and their counts and SHA-256 sums compared; only then is the
target marked complete and its change numbers set to go on above those of the source.
"""

import asyncio
import hashlib
import json
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import asyncpg

from im_service.storage import migrations
from im_service.storage.errors import SchemaError, StoreConflict, StoreError
from im_service.storage.ops.tx import Row, Value
from im_service.storage.postgres import connection as postgres
from im_service.storage.sqlite import connection as sqlite

KEYS: dict[str, tuple[str, ...]] = {
    "account": ("id",),
    "account_state": ("usr",),
    "erasure": ("id",),
    "profile": ("usr",),
    "conversation": ("id",),
    "message": ("id",),
    "message_version": ("conv", "seq", "version"),
    "reaction": ("conv", "seq", "usr", "kind"),
    "receipt": ("conv", "seq", "usr"),
    "hidden": ("usr", "conv", "seq"),
    "inbox": ("usr", "conv"),
    "device": ("usr", "name"),
    "device_mark": ("usr", "number", "conv"),
    "push_token": ("usr", "device"),
    "push_rules": ("usr",),
    "chat_group": ("conv",),
    "group_member": ("conv", "usr"),
    "request": ("id",),
    "relation": ("owner", "other"),
    "room": ("conv",),
    "room_member": ("conv", "usr"),
    "room_tag_mute": ("conv", "tag"),
    "room_queue": ("conv", "key"),
    "broadcast": ("id",),
    "idempotency": ("id",),
    "review": ("id",),
    "report": ("conv", "seq", "usr"),
    "rule_verdict": ("rule", "state", "lapsed"),
    "dead_letter": ("id",),
    "event": ("id",),
    "event_group": ("name",),
}
"""Every table but `meta` and `incarnation`, whose content is made anew, and its key."""

_NUMBERED = (
    "account", "conversation", "message", "request", "idempotency", "review", "dead_letter", "erasure",
)  # fmt: skip
_SEND_KEY = ("sender", "client_id", "conv", "digest", "server_id", "seq", "time_ms")


class Copied(NamedTuple):
    """Progress: `rows` of `table` are in the target now; `done` when that is all of them."""

    table: str
    rows: int
    done: bool


class Source:
    """The SQLite file, held against writers."""

    def __init__(self, path: Path, chunk_rows: int) -> None:
        if not path.exists():
            raise StoreError(f"{path}: no such file")
        self._conn = sqlite.connect(path, 64 << 20, busy_ms=1000)
        self._chunk = chunk_rows
        try:
            with sqlite.translated(path):
                self._conn.execute("BEGIN IMMEDIATE")
                query = "SELECT version, checksum FROM schema_migration"
                found: list[Row] = self._conn.execute(query).fetchall()
            if migrations.pending(migrations.load("sqlite"), dict(found)):
                raise SchemaError(
                    f"{path} has schema {max(found)[0]}: let the server bring it up to date first"
                )
        except BaseException:
            self._conn.close()
            raise

    def close(self) -> None:
        self._conn.execute("ROLLBACK")
        self._conn.close()

    @property
    def change(self) -> int:
        return int(self._conn.execute("SELECT value FROM meta WHERE key = 'change'").get)

    def positions(self) -> list[Row]:
        """Numbers that go on where the copy lies."""
        query = (
            "SELECT value, key FROM meta WHERE key = 'last_broadcast' OR key LIKE 'swept%'"
            " OR key LIKE 'gone%'"
        )
        found: list[Row] = self._conn.execute(query).fetchall()
        return found

    def incarnations(self) -> list[Row]:
        """They go on where the copy lies."""
        found: list[Row] = self._conn.execute(
            "SELECT id, '', made_ms, message_end, event_end FROM incarnation ORDER BY number"
        ).fetchall()
        return found

    def columns(self, table: str) -> list[str]:
        return [str(row[1]) for row in self._conn.execute(f"PRAGMA table_info({table})")]

    def after(self, table: str, columns: list[str], last: list[Value] | None) -> list[Row]:
        """The next chunk in key order."""
        key = ", ".join(KEYS[table])
        where = f" WHERE ({key}) > ({', '.join('?' * len(KEYS[table]))})" if last else ""
        found: list[Row] = self._conn.execute(
            f"SELECT {', '.join(columns)} FROM {table}{where} ORDER BY {key} LIMIT {self._chunk}", last or ()
        ).fetchall()
        return found

    def rows(self, table: str, columns: list[str]) -> Iterator[Row]:
        key = ", ".join(KEYS[table])
        yield from self._conn.execute(f"SELECT {', '.join(columns)} FROM {table} ORDER BY {key}")


class CopyTarget:
    """The PostgreSQL database and the note of how far the copy reached."""

    def __init__(self, conn: asyncpg.Connection) -> None:
        self._conn = conn

    async def prepare(self, change: int, incarnations: list[Row]) -> None:
        await postgres.migrate(self._conn)
        await self._conn.execute(
            "CREATE TABLE IF NOT EXISTS copy_progress"
            " (name TEXT PRIMARY KEY, last TEXT NOT NULL, rows BIGINT NOT NULL, done BOOLEAN NOT NULL)"
        )
        began = await self._conn.fetchrow("SELECT rows, done FROM copy_progress WHERE name = 'source'")
        if began is None:
            for table in KEYS:
                if await self._conn.fetchval(f"SELECT 1 FROM {table} LIMIT 1"):
                    raise StoreConflict(f"the target is not empty: table {table} has rows")
            await self._conn.execute("INSERT INTO copy_progress VALUES ('source', '', $1, false)", change)
        elif began[1]:
            raise StoreConflict(await self._whose(incarnations))
        elif began[0] != change:
            raise StoreConflict(
                "the copy there was begun from another store, or this one was written to since: start with an"
                " empty target"
            )

    async def _whose(self, incarnations: list[Row]) -> str:
        """What a complete copy is of, and that nothing was done."""
        there = {row[0] for row in await self._conn.fetch("SELECT id FROM incarnation")}
        if incarnations and incarnations[-1][0] in there:
            return "the target holds the complete copy of this store already: nothing was done"
        return "the target holds the complete copy of another store: name an empty database"

    async def reached(self, table: str) -> tuple[list[Value] | None, int, bool]:
        found = await self._conn.fetchrow("SELECT last, rows, done FROM copy_progress WHERE name = $1", table)
        return (json.loads(found[0]), found[1], found[2]) if found else (None, 0, False)

    async def put(self, table: str, columns: list[str], chunk: list[Row], rows: int, done: bool) -> None:
        """A chunk and the note of it, together."""
        async with self._conn.transaction():
            last: list[Value] = []
            if chunk:
                await self._conn.copy_records_to_table(table, records=chunk, columns=columns)
                at = [columns.index(name) for name in KEYS[table]]
                last = [chunk[-1][i] for i in at]
            if table == "message" and chunk:
                at = [columns.index(name) for name in _SEND_KEY]
                keys = [tuple(row[i] for i in at) for row in chunk]
                await self._conn.copy_records_to_table("send_key", records=keys, columns=list(_SEND_KEY))
            await self._conn.execute(
                "INSERT INTO copy_progress VALUES ($1, $2, $3, $4) ON CONFLICT (name) DO UPDATE"
                " SET last = excluded.last, rows = excluded.rows, done = excluded.done",
                table, json.dumps(last), rows, done,
            )  # fmt: skip

    async def rows(self, table: str, columns: list[str]) -> AsyncIterator[Row]:
        key = ", ".join(KEYS[table])
        async with self._conn.transaction(readonly=True):
            query = f"SELECT {', '.join(columns)} FROM {table} ORDER BY {key}"
            async for row in self._conn.cursor(query, prefetch=1000):
                yield tuple(row)

    async def complete(self, change: int, positions: list[Row], incarnations: list[Row]) -> None:
        """Numbers go on where the source stopped."""
        async with self._conn.transaction():
            for table in _NUMBERED:
                await self._conn.execute(
                    f"SELECT setval(pg_get_serial_sequence('{table}', 'id'),"
                    f" (SELECT coalesce(max(id), 0) + 1 FROM {table}), false)"
                )
            await self._conn.execute(  # events go on in the sequence of the log
                "SELECT setval('message_id_seq', greatest((SELECT max(id) FROM message),"
                " (SELECT max(id) FROM event), 0) + 1, false)"
            )
            await self._conn.execute("UPDATE meta SET value = $1 WHERE key = 'change_base'", change)
            await self._conn.executemany("UPDATE meta SET value = $1 WHERE key = $2", positions)
            await self._conn.executemany(
                "INSERT INTO incarnation (id, origin, made_ms, message_end, event_end)"
                " VALUES ($1, $2, $3, $4, $5)",
                incarnations,
            )
            await self._conn.execute("UPDATE copy_progress SET done = true WHERE name = 'source'")


class _Sum:
    """Count and SHA-256 of rows in key order."""

    def __init__(self) -> None:
        self._hash = hashlib.sha256()
        self._rows = 0

    def add(self, row: Row) -> None:
        self._rows += 1
        self._hash.update(repr(row).encode())

    def value(self) -> tuple[int, str]:
        return self._rows, self._hash.hexdigest()


async def copy_store(
    source: str | Path,
    dsn: str,
    *,
    chunk_rows: int = 5_000,
    progress: Callable[[Copied], None] | None = None,
) -> dict[str, int]:
    """Copy everything; call again after an interruption. -> rows per table, verified.

    StoreConflict: the target holds other data, is complete, or the source changed in between.
    StoreError: the sides differ after copying. StoreUnavailable: an engine does not answer.
    """
    held = await asyncio.to_thread(Source, Path(source), chunk_rows)
    try:
        conn = await asyncpg.connect(dsn)
        try:
            return await _copy(held, CopyTarget(conn), chunk_rows, progress or (lambda _: None))
        finally:
            await conn.close()
    except postgres.GONE as error:
        raise postgres.unavailable(error) from error
    finally:
        held.close()


async def _copy(
    source: Source, target: CopyTarget, chunk_rows: int, progress: Callable[[Copied], None]
) -> dict[str, int]:
    await target.prepare(source.change, source.incarnations())
    for table in KEYS:
        columns = source.columns(table)
        last, rows, done = await target.reached(table)
        while not done:
            chunk = await asyncio.to_thread(source.after, table, columns, last)
            done = len(chunk) < chunk_rows
            rows += len(chunk)
            await target.put(table, columns, chunk, rows, done)
            last = [chunk[-1][columns.index(name)] for name in KEYS[table]] if chunk else last
            progress(Copied(table, rows, done))
    counted: dict[str, int] = {}
    for table in KEYS:
        columns = source.columns(table)
        here, there = _Sum(), _Sum()
        for row in source.rows(table, columns):
            here.add(row)
        async for row in target.rows(table, columns):
            there.add(row)
        if here.value() != there.value():
            raise StoreError(f"table {table} differs after copying: {here.value()} and {there.value()}")
        counted[table] = here.value()[0]
    await target.complete(source.change, source.positions(), source.incarnations())
    return counted
