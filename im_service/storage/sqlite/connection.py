"""Connections to the file: settings, schema, and what SQLite's errors mean to a caller."""

import ctypes
import errno
import json
import os
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import lru_cache
from pathlib import Path

import apsw

from im_service.storage import migrations
from im_service.storage.errors import SchemaError, StoreError, StoreUnavailable
from im_service.storage.ops.incarnation import PINNED
from im_service.storage.ops.tx import Argument, Row, to_sqlite

OLDEST = 3_051_003
"""First SQLite without the WAL-reset bug, which could corrupt a file used by two connections."""

_REASONS: dict[type[apsw.Error], str] = {
    apsw.FullError: "the disk is full",
    apsw.BusyError: "the file is locked by another program",
    apsw.LockedError: "the file is locked by another program",
    apsw.CantOpenError: "the file cannot be opened",
    apsw.ReadOnlyError: "the file cannot be written",
    apsw.IOError: "reading or writing the disk failed",
    apsw.CorruptError: "the file is damaged: put a copy back (OPERATIONS, Backup and restore)",
    apsw.NotADBError: "the file is no SQLite database",
}


def unavailable(path: Path, error: apsw.Error, conn: apsw.Connection | None = None) -> StoreUnavailable:
    kind, words = type(error), str(error)
    if kind is apsw.CorruptError and conn is not None and (failed := _failed_read(conn)) in _DISK:
        kind, words = apsw.IOError, os.strerror(failed)
    return StoreUnavailable(f"{path}: {_REASONS.get(kind, kind.__name__)} ({words})")


_DISK = frozenset({errno.EIO, errno.ENXIO, errno.ERANGE})
_FILE_CONTROL_AT = 80
"""Of xFileControl in sqlite3_io_methods (sqlite.org/c3ref/io_methods.html): an int, and the ten before it."""
_FileControl = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_int, ctypes.c_void_p)


def _failed_read(conn: apsw.Connection) -> int:
    """The errno of the last read of the file or of its log that failed, else 0. SQLite tells a disk that
    fails a read as damage (SQLITE_IOERR_CORRUPTFS): who then put a copy back would lose what is not in it.
    """
    last, log = ctypes.c_int(0), ctypes.c_void_p(None)
    conn.file_control("main", apsw.SQLITE_FCNTL_LAST_ERRNO, ctypes.addressof(last))
    if last.value or not conn.file_control("main", apsw.SQLITE_FCNTL_JOURNAL_POINTER, ctypes.addressof(log)):
        return last.value
    methods = ctypes.c_void_p.from_address(log.value or 0).value if log.value else None
    if methods:
        control = _FileControl(ctypes.c_void_p.from_address(methods + _FILE_CONTROL_AT).value or 0)
        control(log.value, apsw.SQLITE_FCNTL_LAST_ERRNO, ctypes.addressof(last))
    return last.value


@contextmanager
def translated(path: Path, conn: apsw.Connection | None = None) -> Iterator[None]:
    try:
        yield
    except apsw.Error as error:
        raise unavailable(path, error, conn) from error


def connect(path: Path, cache_bytes: int, busy_ms: int, readonly: bool = False) -> apsw.Connection:
    """A connection as every thread of the store uses it: WAL, FULL, no checkpoints of its own."""
    if apsw.SQLITE_VERSION_NUMBER < OLDEST:
        raise StoreError(f"SQLite {apsw.sqlite_lib_version()} may corrupt a WAL file: install apsw >= 3.51.3")
    with translated(path):
        flags = apsw.SQLITE_OPEN_READWRITE | (0 if readonly else apsw.SQLITE_OPEN_CREATE)
        if not readonly:
            # Its journals get this mode too. No open(): closing a descriptor drops SQLite's locks.
            with suppress(OSError):
                os.mknod(path, 0o600 | stat.S_IFREG)
        conn = apsw.Connection(str(path), flags=flags, statementcachesize=200)
        conn.set_busy_timeout(busy_ms)
        _use_wal(conn, busy_ms)
        for pragma in (
            "synchronous=FULL",
            f"cache_size={-(cache_bytes // 1024)}",
            "mmap_size=0",
            "temp_store=MEMORY",
            "foreign_keys=OFF",
            "wal_autocheckpoint=0",
            f"query_only={'ON' if readonly else 'OFF'}",
        ):
            conn.execute("PRAGMA " + pragma).fetchall()
    return conn


def _use_wal(conn: apsw.Connection, busy_ms: int) -> None:
    """Turn a new file to WAL. SQLite does not call its busy handler for this change (sqlite.org/wal.html,
    "Sometimes Queries Return SQLITE_BUSY In WAL Mode"), so two programs that open a new file at the same time
    wait for each other here, for as long as any other lock."""
    deadline = time.monotonic() + busy_ms / 1000
    while True:
        try:
            conn.execute("PRAGMA journal_mode=WAL").fetchall()
            return
        except apsw.BusyError:
            if time.monotonic() >= deadline:
                raise
            time.sleep(0.005)


def look(path: Path, busy_ms: int) -> int:
    """How many migrations are still to be applied. StoreUnavailable, SchemaError, SchemaTooNew.

    Reads only: not even the log is folded into the file, as a writer does that closes it last.
    """
    known = migrations.load("sqlite")
    found = _looked(path, busy_ms, "schema_migration", "SELECT version, checksum FROM schema_migration")
    return len(migrations.pending(known, dict(found)))


def pinned(path: Path, busy_ms: int) -> bool:
    return any(row[0] for row in _looked(path, busy_ms, "incarnation", PINNED))


def _looked(path: Path, busy_ms: int, table: str, text: str) -> list[Row]:
    """What is read where there is such a table, else nothing."""
    if not path.exists():
        return []
    with translated(path):
        conn = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)
        try:
            conn.set_busy_timeout(busy_ms)
            there = conn.execute("SELECT 1 FROM sqlite_schema WHERE name = ?", (table,)).fetchall()
            found: list[Row] = conn.execute(text).fetchall() if there else []
        finally:
            conn.close()
    return found


def migrate(conn: apsw.Connection, path: Path, folder: Path | None = None) -> int:
    """Bring the schema up to date, all or nothing. -> present version."""
    known = migrations.load("sqlite", folder)
    with translated(path):
        conn.execute(
            "CREATE TABLE IF NOT EXISTS schema_migration (version INTEGER PRIMARY KEY, name TEXT NOT NULL,"
            " checksum TEXT NOT NULL, applied_ms INTEGER NOT NULL)"
        ).fetchall()
        # IMMEDIATE: a transaction that reads first could not become a writer after another one's migration.
        conn.execute("BEGIN IMMEDIATE").fetchall()
        try:
            found: list[Row] = conn.execute("SELECT version, checksum FROM schema_migration").fetchall()
            applied: dict[int, str] = dict(found)
            for migration in migrations.pending(known, applied):
                _apply(conn, migration)
        except BaseException:
            if conn.in_transaction:
                conn.execute("ROLLBACK").fetchall()
            raise
        conn.execute("COMMIT").fetchall()
    return known[-1].version


def _apply(conn: apsw.Connection, migration: migrations.Migration) -> None:
    try:
        conn.execute(migration.sql).fetchall()
    except apsw.SQLError as error:
        raise SchemaError(f"{migration.name}: {error}") from error
    conn.execute(
        "INSERT INTO schema_migration VALUES (?, ?, ?, ?)",
        (migration.version, migration.name, migration.checksum, int(time.time() * 1000)),
    ).fetchall()


@lru_cache(maxsize=1024)
def _text(text: str) -> str:
    return to_sqlite(text)


def query(conn: apsw.Connection, text: str, args: tuple[Argument, ...]) -> list[Row]:
    """Run one statement of the common SQL; list parameters travel as JSON."""
    if any(type(arg) is list for arg in args):
        args = tuple(json.dumps(arg) if type(arg) is list else arg for arg in args)
    found: list[Row] = conn.execute(_text(text), args).fetchall()
    return found
