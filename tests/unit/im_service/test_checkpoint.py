"""The write-ahead log starts over while commits go on, and the writer copies only a small rest of it."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any, cast

import apsw
import pytest

from im_service.storage.sqlite import checkpoint
from im_service.storage.sqlite.checkpoint import REST_PAGES, SETTLING, Checkpointer

PAGES = 500


class Counted(apsw.Connection):
    rounds = 0

    def wal_checkpoint(self, dbname: str | None = None, mode: int = 0) -> tuple[int, int]:
        self.rounds += 1
        return super().wal_checkpoint(dbname, mode)


def connect(path: Path) -> Counted:
    conn = Counted(str(path))
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "wal_autocheckpoint=0"):
        conn.execute("PRAGMA " + pragma).fetchall()
    return conn


def test_the_log_starts_over_while_commits_go_on(tmp_path: Path) -> None:
    path = tmp_path / "log.db"
    writer = connect(path)
    writer.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, body BLOB)")
    checkpointer = Checkpointer(connect(path), writer, PAGES, tmp_path)
    deadline = time.monotonic() + 60
    number = starts = 0
    while starts < 3:
        assert time.monotonic() < deadline, checkpointer.length
        before = checkpointer.length
        writer.execute("INSERT INTO t VALUES (?, zeroblob(3000))", (number,))
        number += 1
        starts += checkpointer.length < before
    checkpointer.close()
    assert writer.execute("SELECT count(*) FROM t").fetchall() == [(number,)]
    assert not (tmp_path / "log.db-wal").stat().st_size
    writer.close()


def test_on_a_disk_that_is_nearly_full_the_log_stays_as_small_as_what_is_free(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file may grow by as much as the log holds; the log must not take the room for that."""
    page_bytes, free = 4096, 100
    disk = os.statvfs_result((page_bytes, page_bytes, 1000, free, free, 10, 10, 10, 0, 255))
    monkeypatch.setattr(checkpoint.os, "statvfs", lambda _: disk)
    path = tmp_path / "log.db"
    writer = connect(path)
    writer.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, body BLOB)")
    checkpointer = Checkpointer(connect(path), writer, 1 << 20, tmp_path)
    starts = number = 0
    deadline = time.monotonic() + 60
    while starts < 3:
        assert time.monotonic() < deadline, checkpointer.length
        before = checkpointer.length
        writer.execute("INSERT INTO t VALUES (?, zeroblob(3000))", (number,))
        number += 1
        starts += checkpointer.length < before
    checkpointer.close()
    writer.close()


class Scripted:
    """A bulk beside which pages are committed as told: with real commits nobody could tell how many."""

    def __init__(self, meanwhile: list[int]) -> None:
        self.meanwhile = meanwhile
        self.rounds = 0
        self.owner: Checkpointer | None = None

    def wal_checkpoint(self, mode: int) -> tuple[int, int]:
        assert self.owner is not None
        copied = self.owner.length
        self.owner.length += self.meanwhile[self.rounds] if self.rounds < len(self.meanwhile) else 0
        self.rounds += 1
        return copied, copied

    def close(self) -> None:
        pass


def test_rounds_go_on_until_the_disk_has_settled_and_the_rest_is_small(tmp_path: Path) -> None:
    small, large = REST_PAGES, 100 * REST_PAGES
    for meanwhile, wanted in (
        ([large, *[small] * 20], SETTLING + 1),  # not before it has settled
        ([large] * SETTLING + [REST_PAGES + 1, small, large], SETTLING + 2),  # as soon as it is small
        ([10 * REST_PAGES] * 60, SETTLING + 10),  # it may be larger the longer it takes
    ):
        writer = connect(tmp_path / f"{wanted}.db")
        bulk = Scripted(meanwhile)
        checkpointer = bulk.owner = Checkpointer(cast(Any, bulk), writer, 1, tmp_path)
        writer.execute("CREATE TABLE t (id INTEGER PRIMARY KEY)")
        assert checkpointer.bulk_done.wait(60)
        assert bulk.rounds == wanted
        checkpointer.close()
        writer.close()


def test_a_long_reader_is_not_waited_for_in_rounds(tmp_path: Path) -> None:
    """It holds the log where it stands: two rounds see that, whatever is committed; later the log ends."""
    path = tmp_path / "log.db"
    writer, reader, bulk = connect(path), connect(path), connect(path)
    writer.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, body BLOB)")
    reader.execute("BEGIN")
    assert reader.execute("SELECT count(*) FROM t").fetchall() == [(0,)]
    checkpointer = Checkpointer(bulk, writer, PAGES, tmp_path)
    number = 0
    while checkpointer.length < PAGES:
        number += 1
        writer.execute("INSERT INTO t VALUES (?, zeroblob(3000))", (number,))
    assert checkpointer.bulk_done.wait(60)
    assert bulk.rounds == 2
    reader.execute("COMMIT")
    reader.close()
    checkpointer.close()
    assert not (tmp_path / "log.db-wal").stat().st_size
    writer.close()
