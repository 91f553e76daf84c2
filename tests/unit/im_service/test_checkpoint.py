"""The write-ahead log starts over while commits go on, and the writer copies only a small rest of it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path

import apsw

from im_service.storage.sqlite.checkpoint import Checkpointer

PAGES = 500
BURST = 300
"""Commits, a page or more each, that come while the first round of the bulk is copied."""


class Watched(apsw.Connection):
    """A connection that calls `after` with the pages copied so far, after each checkpoint."""

    after: Callable[[int], None]

    def wal_checkpoint(self, dbname: str | None = None, mode: int = 0) -> tuple[int, int]:
        length, copied = super().wal_checkpoint(dbname, mode)
        self.after(copied)
        return length, copied


def watched(path: Path, after: Callable[[int], None]) -> Watched:
    conn = Watched(str(path))
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "wal_autocheckpoint=0"):
        conn.execute("PRAGMA " + pragma).fetchall()
    conn.after = after
    return conn


def test_the_log_starts_over_and_the_writer_copies_a_small_rest_of_it(tmp_path: Path) -> None:
    bulk_copied: list[int] = []
    rests: list[int] = []
    number = 0
    writing = threading.Lock()

    def commit() -> None:
        nonlocal number
        number += 1
        writer.execute("INSERT INTO t VALUES (?, zeroblob(3000))", (number,))

    def after_bulk(copied: int) -> None:
        with writing:
            bulk_copied.append(copied)
            for _ in range(BURST if len(bulk_copied) == 1 else 1):  # never all: the writer is needed
                commit()

    path = tmp_path / "log.db"
    writer = watched(path, lambda copied: rests.append(copied - bulk_copied[-1]))
    writer.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, body BLOB)")
    bulk = watched(path, after_bulk)
    checkpointer = Checkpointer(bulk, writer, PAGES)
    deadline = time.monotonic() + 60
    before = 0
    while checkpointer.length >= before:
        assert time.monotonic() < deadline, "the log never started over"
        before = checkpointer.length
        with writing:
            commit()
        time.sleep(0.0005)  # the bulk's turn
    assert len(rests) == 1
    assert rests[0] < BURST, (rests, bulk_copied)
    assert len(bulk_copied) > 1
    bulk.after = rests.append
    checkpointer.close()
    writer.close()
