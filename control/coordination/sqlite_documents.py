"""Documents in a SQLite file of the data folder, for one process or several of one machine that share it.

A file that is gone is not begun anew: what was revoked and ordered stood in it. A mark beside it, `.seen`,
says that there was one. While processes run, a look every LOOK_S tells of a file that was removed, replaced
or damaged, and `/readyz` is red for as long.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import apsw

from control.coordination.documents import (
    Change,
    Conflict,
    Document,
    DocumentsUnavailable,
    Listing,
    checked_key,
    checked_value,
)
from control.logs import get_logger
from control.part import Check, Part
from im_service.storage.errors import StoreError
from im_service.storage.sqlite.connection import connect, translated, unavailable

log = get_logger("coordination")

POLL_S = 0.5
"""Between two looks for changes of other processes: one number that SQLite keeps in memory."""
BUSY_MS = 2000
LOOK_S = 5.0
"""Between two looks at the file itself; all of it is read, a few megabytes at most."""
ANSWER_S = 5.0
CACHE_BYTES = 1 << 20
HISTORY = 1000
HISTORY_BYTES = 8 << 20
"""Changes that are kept for who watches: later ones push the oldest out."""
_PRUNE_EVERY = 50

_SCHEMA = """
CREATE TABLE IF NOT EXISTS documents(key TEXT PRIMARY KEY, value BLOB NOT NULL, revision INTEGER NOT NULL)
    WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS changes(revision INTEGER PRIMARY KEY AUTOINCREMENT, key TEXT NOT NULL, value BLOB);
"""
T = TypeVar("T")


class SqliteDocuments(Part):
    """Implements Documents. One thread speaks to the file, so that a slow disk holds nobody else up."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._conn: apsw.Connection | None = None
        self._thread = ThreadPoolExecutor(1, "documents")
        self._problem: str | None = "not started"
        self._polling: asyncio.Task[None] | None = None
        self._changed = asyncio.Event()
        self._version = -1
        self._file = 0
        self._mark = path.with_suffix(".seen")
        self._lost: str | None = None
        self._look_at = 0.0

    async def start(self) -> None:
        """Raises DocumentsUnavailable."""
        await self._run(self._open)
        self._polling = asyncio.create_task(self._poll(), name="documents")

    async def stop(self, grace_s: float = 0.0) -> None:
        if self._polling is not None:
            self._polling.cancel()
            await asyncio.gather(self._polling, return_exceptions=True)
            with contextlib.suppress(DocumentsUnavailable):
                await self._run(self._close)
        self._thread.shutdown(wait=False)

    def problem(self) -> str | None:
        return self._problem or self._lost

    def checks(self) -> Mapping[str, Check]:
        """Not while another program locks it for a moment: reads go on."""
        return {"documents": lambda: self._lost}

    async def get(self, key: str) -> Document | None:
        return await self._run(lambda: self._get(checked_key(key)))

    async def list(self, prefix: str) -> Listing:
        return await self._run(lambda: self._at_one_moment(lambda: self._list(prefix)))

    async def put(self, key: str, value: bytes, expected: int | None = None) -> Document:
        checked_key(key)
        checked_value(key, value)
        revision = await self._run(lambda: self._change(key, value, expected))
        self._tell()
        return Document(key, value, revision)

    async def delete(self, key: str, expected: int | None = None) -> int:
        checked_key(key)
        revision = await self._run(lambda: self._change(key, None, expected))
        self._tell()
        return revision

    async def watch(
        self, prefix: str, after: int, known: Mapping[str, int] | None = None
    ) -> AsyncIterator[Change]:
        told = set(known or ())
        while True:
            woken = self._changed
            since = partial(self._since, prefix, after, told)
            try:
                changes, after = await self._run(partial(self._at_one_moment, since))
            except DocumentsUnavailable:
                await asyncio.sleep(POLL_S)
                continue
            for change in changes:
                (told.add if change.value is not None else told.discard)(change.key)
                yield change
            if not changes:
                await woken.wait()

    # -- in the thread

    def _open(self) -> None:
        had_one = self._mark.exists()
        if had_one and not self._path.exists():
            raise self._gone("is gone")
        self._conn = connect(self._path, CACHE_BYTES, BUSY_MS)
        with translated(self._path, self._conn):
            if had_one and not self._rows("SELECT 1 FROM sqlite_schema WHERE name = 'documents'"):
                raise self._gone("is empty")
            self._conn.wal_autocheckpoint(1000)
            with self._conn:
                self._conn.execute(_SCHEMA)
        self._file = self._path.stat().st_ino
        self._look()
        if self._lost is not None:
            raise DocumentsUnavailable(self._lost)
        try:
            self._mark.touch(mode=0o600)
        except OSError as error:
            log.warning("a lost file would not be noticed at the next start", reason=str(error))

    def _gone(self, lost: str) -> DocumentsUnavailable:
        return DocumentsUnavailable(
            f"{self._path} {lost}, though this folder had one, with what was revoked and ordered: put it back"
            f" from a copy (OPERATIONS, Backup and restore), or remove {self._mark.name} to begin with none"
        )

    def _look(self) -> None:
        """At the file as whoever starts now would find it: a connection that is open answers from memory."""
        try:
            self._refuse_another_file()
            fresh = apsw.Connection(str(self._path), flags=apsw.SQLITE_OPEN_READONLY)
            try:
                fresh.set_busy_timeout(BUSY_MS)
                found = str(fresh.execute("PRAGMA quick_check(1)").fetchall()[0][0])
            finally:
                fresh.close()
            lost = None if found == "ok" else f"{self._path}: the file is damaged ({found.splitlines()[0]})"
        except DocumentsUnavailable as error:
            lost = str(error)
        except (apsw.CorruptError, apsw.NotADBError) as error:
            lost = str(unavailable(self._path, error))
        except apsw.Error:
            return  # locked, or a disk that fails: `problem` tells of what calls meet
        if lost and not self._lost:
            log.error("the documents are lost", reason=lost)
        elif self._lost and not lost:
            log.info("the documents are there again")
        self._lost = lost

    def _close(self) -> None:
        if self._conn is not None:
            self._conn.close()
            self._conn = None

    def _db(self) -> apsw.Connection:
        if self._conn is None:
            raise DocumentsUnavailable(f"{self._path}: not open")
        return self._conn

    def _rows(self, sql: str, *arguments: str | int | bytes | None) -> Any:
        return self._db().execute(sql, arguments).fetchall()

    def _at_one_moment(self, read: Callable[[], T]) -> T:
        self._rows("BEGIN")
        try:
            return read()
        finally:
            self._rows("COMMIT")

    def _get(self, key: str) -> Document | None:
        rows = self._rows("SELECT value, revision FROM documents WHERE key = ?", key)
        return Document(key, *rows[0]) if rows else None

    def _list(self, prefix: str) -> Listing:
        rows = self._rows(
            "SELECT key, value, revision FROM documents WHERE substr(key, 1, ?) = ? ORDER BY key",
            len(prefix),
            prefix,
        )
        return Listing(tuple(Document(*row) for row in rows), self._newest())

    def _newest(self) -> int:
        rows = self._rows("SELECT seq FROM sqlite_sequence WHERE name = 'changes'")
        return int(rows[0][0]) if rows else 0

    def _refuse_another_file(self) -> None:
        """SQLite goes on writing to a file that was removed, and nobody would ever read it again."""
        if not self._path.exists() or self._path.stat().st_ino != self._file:
            raise DocumentsUnavailable(
                f"{self._path}: removed or replaced: see to it, and start this process again"
            )

    def _change(self, key: str, value: bytes | None, expected: int | None) -> int:
        db = self._db()
        self._refuse_another_file()
        db.execute("BEGIN IMMEDIATE")
        try:
            found = self._get(key)
            current = found.revision if found else 0
            if expected is not None and expected != current:
                raise Conflict(key, current)
            revision = 0 if value is None and not found else self._write(key, value)
            db.execute("COMMIT")
        except BaseException:
            if db.in_transaction:
                db.execute("ROLLBACK")
            raise
        return revision

    def _write(self, key: str, value: bytes | None) -> int:
        db = self._db()
        db.execute("INSERT INTO changes(key, value) VALUES(?, ?)", (key, value))
        revision = int(db.last_insert_rowid())
        if value is None:
            db.execute("DELETE FROM documents WHERE key = ?", (key,))
        else:
            db.execute("INSERT OR REPLACE INTO documents VALUES(?, ?, ?)", (key, value, revision))
        if revision % _PRUNE_EVERY == 0:
            self._prune(revision)
        return revision

    def _prune(self, newest: int) -> None:
        oldest, kept = newest - HISTORY, 0
        for revision, size in self._rows(
            "SELECT revision, coalesce(length(value), 0) FROM changes"
            " WHERE revision > ? ORDER BY revision DESC",
            oldest,
        ):
            kept += size
            if kept > HISTORY_BYTES:
                oldest = max(oldest, revision)
        self._rows("DELETE FROM changes WHERE revision <= ?", oldest)

    def _since(self, prefix: str, after: int, told: set[str]) -> tuple[tuple[Change, ...], int]:
        """Changes above `after`, and up to where that is all."""
        newest = self._newest()
        if newest == after:
            return (), after
        oldest = self._rows("SELECT min(revision) FROM changes")[0][0]
        if after > newest:
            return self._afresh(prefix, 0, told), newest
        if oldest is None or oldest > after + 1:
            return self._afresh(prefix, after, told), newest
        rows = self._rows(
            "SELECT key, value, revision FROM changes"
            " WHERE revision > ? AND substr(key, 1, ?) = ? ORDER BY revision",
            after,
            len(prefix),
            prefix,
        )
        return tuple(Change(*row) for row in rows), newest

    def _afresh(self, prefix: str, after: int, told: set[str]) -> tuple[Change, ...]:
        """What stands there, for a watcher whose history has gone, or that saw another file."""
        listed = self._list(prefix)
        gone = sorted(told - {document.key for document in listed.documents})
        new = sorted(
            (each for each in listed.documents if each.revision > after), key=lambda each: each.revision
        )
        return (
            *(Change(each.key, each.value, each.revision) for each in new),
            *(Change(key, None, listed.revision) for key in gone),
        )

    def _read_version(self) -> int:
        if time.monotonic() >= self._look_at:
            self._look()
            self._look_at = time.monotonic() + LOOK_S
        return int(self._db().pragma("data_version"))

    # -- on the loop

    async def _run(self, work: Callable[[], T]) -> T:
        def translated_work() -> T:
            with translated(self._path, self._conn):
                return work()

        try:
            async with asyncio.timeout(ANSWER_S):
                result = await asyncio.get_running_loop().run_in_executor(self._thread, translated_work)
        except (StoreError, DocumentsUnavailable) as error:
            self._problem = str(error)
            raise DocumentsUnavailable(str(error)) from error
        except TimeoutError:
            self._problem = f"{self._path}: the disk does not answer"
            raise DocumentsUnavailable(self._problem) from None
        except RuntimeError as error:  # of an executor that was shut down
            raise DocumentsUnavailable(f"{self._path}: closed") from error
        self._problem = None
        return result

    def _tell(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()

    async def _poll(self) -> None:
        """Others that write to the file are heard of here; it is looked at again after a failure."""
        failed = False
        while True:
            try:
                version = await self._run(self._read_version)
                if version != self._version or failed:
                    self._version, failed = version, False
                    self._tell()
            except DocumentsUnavailable as error:
                if not failed:
                    log.error("documents cannot be read", reason=str(error))
                failed = True
            await asyncio.sleep(POLL_S)
