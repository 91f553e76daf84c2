"""Folds the write-ahead log into the file beside the writer, so that no commit waits for it.

The bulk is copied here, on a connection of its own. While commits go on, a rest always stays: it is copied in
further rounds, each shorter than the one before, until it is so small that the writer's hook may copy it
between two commits, after which SQLite starts the log from its beginning again.

The file grows by no more than the log has pages, so on a disk that is nearly full the log is folded while
that much is free: later there would be no room for it, and the log would keep the rest of the disk for good.
"""

import contextlib
import itertools
import os
import threading
from pathlib import Path

import apsw

SETTLING = 8
"""Rounds after which the file's fsync is short: behind a bulk it takes 70 ms now and then, less each time."""
REST_PAGES = 8
"""Pages the writer may copy, for each further round that has tried to leave fewer; commits wait for them."""

LEAST_PAGES = 32
"""Of a log that is folded on a disk that is nearly full."""


class Checkpointer:
    def __init__(self, conn: apsw.Connection, writer: apsw.Connection, pages: int, folder: Path) -> None:
        self._conn = conn
        self._pages = pages
        self._folder = folder
        self._page_bytes = int(writer.pragma("page_size"))
        self.length = 0  # of the log, after the last commit
        self._wake = threading.Event()
        self._closing = False
        self.bulk_done = threading.Event()
        writer.set_wal_hook(self._committed)
        self._thread = threading.Thread(target=self._main, name="store-checkpoint", daemon=True)
        self._thread.start()

    def _committed(self, writer: apsw.Connection, _name: str, pages: int) -> int:
        """After each commit, in the writer's thread; `pages` is the length of the log now."""
        self.length = pages
        if pages >= self._pages or (pages >= LEAST_PAGES and pages >= self._free_pages()):
            if self.bulk_done.is_set():
                self.bulk_done.clear()
                with contextlib.suppress(apsw.Error):
                    writer.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_PASSIVE)
            elif not self._wake.is_set():
                self._wake.set()
        return apsw.SQLITE_OK

    def _free_pages(self) -> int:
        try:
            disk = os.statvfs(self._folder)
        except OSError:
            return self._pages
        return disk.f_bavail * disk.f_frsize // self._page_bytes

    def _main(self) -> None:
        while not self._closing:
            self._wake.wait()
            self._wake.clear()
            # A failed checkpoint loses nothing: the log keeps every commit and the next one tries again.
            with contextlib.suppress(apsw.Error):
                copied = -1
                for rounds in itertools.count(1):
                    before, wanted = copied, self.length
                    _, copied = self._conn.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_PASSIVE)
                    if before == copied < wanted:  # a reader needs the rest: more rounds would only spin
                        break
                    if self.length - copied <= REST_PAGES * (rounds - SETTLING) or self._closing:
                        break
                # Wishes that came meanwhile are met: another bulk now would keep the writer from the rest.
                self._wake.clear()
                self.bulk_done.set()

    def close(self) -> None:
        self._closing = True
        self._wake.set()
        self._thread.join()
        with contextlib.suppress(apsw.Error):
            self._conn.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)
        self._conn.close()
