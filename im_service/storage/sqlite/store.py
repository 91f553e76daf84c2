"""SqliteStore: a store on one file."""

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import apsw

from im_service.storage.errors import StoreClosed
from im_service.storage.event_records import Place
from im_service.storage.ops import events
from im_service.storage.ops.tx import Op
from im_service.storage.queue import Reads
from im_service.storage.shares import Turns
from im_service.storage.sqlite import connection, runner
from im_service.storage.sqlite.checkpoint import Checkpointer
from im_service.storage.sqlite.opened_file import OpenedFile, check_log
from im_service.storage.sqlite.writer import Writer
from im_service.storage.store import Store

T = TypeVar("T")


class SqliteStore(Store):
    """The embedded store. `path` is created when missing; `-wal` and `-shm` files live beside it.

    readers: threads for reads, each with a connection of its own. cache_bytes: page cache of the writer;
    readers have an eighth of it each. busy_ms: how long to wait for another program that holds the file.
    max_commit: messages and operations in one transaction. max_queued: how many may wait before
    StoreUnavailable. checkpoint_pages: how much log gathers before it is folded into the file.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        readers: int = 2,
        cache_bytes: int = 256 << 20,
        busy_ms: int = 5_000,
        max_commit: int = 2_000,
        max_queued: int = 50_000,
        checkpoint_pages: int = 16_384,
    ) -> None:
        super().__init__()
        self._path = Path(path)
        self._readers = readers
        self._cache_bytes = cache_bytes
        self._busy_ms = busy_ms
        self._max_commit = max_commit
        self._max_queued = max_queued
        self._checkpoint_pages = checkpoint_pages
        self._writer: Writer | None = None
        self._checkpointer: Checkpointer | None = None
        self._conn: apsw.Connection | None = None
        self._opened: OpenedFile | None = None
        self._pool: ThreadPoolExecutor | None = None
        self._turns = Turns(readers)
        self._local = threading.local()
        self._reading: list[apsw.Connection] = []
        self._reads: list[Reads] = []

    async def start(self) -> None:
        loop = asyncio.get_running_loop()
        self._conn = await loop.run_in_executor(None, self._connect)
        self._opened = OpenedFile(self._path)
        self._writer = Writer(self._conn, self._path, self._opened, loop, self._max_commit, self._max_queued)
        self._queue = self._writer.queue
        self._checkpointer = Checkpointer(
            connection.connect(self._path, 1 << 20, self._busy_ms),
            self._conn,
            self._checkpoint_pages,
            self._path.parent,
        )
        self._pool = ThreadPoolExecutor(self._readers, thread_name_prefix="store-reader")
        self._writer.start()

    async def look(self) -> int:
        return await asyncio.to_thread(self._look)

    def _look(self) -> int:
        check_log(self._path)
        return connection.look(self._path, self._busy_ms)

    async def pinned(self) -> bool:
        return await asyncio.to_thread(connection.pinned, self._path, self._busy_ms)

    def _connect(self) -> apsw.Connection:
        check_log(self._path)
        conn = connection.connect(self._path, self._cache_bytes, self._busy_ms)
        try:
            connection.migrate(conn, self._path)
        except BaseException:
            conn.close()
            raise
        return conn

    async def stop(self) -> None:
        loop = asyncio.get_running_loop()
        writer, self._writer, self._queue = self._writer, None, None
        if writer is None:
            return
        await loop.run_in_executor(None, writer.stop)
        # The writer's last answers are callbacks of this loop already; they run before we say we are done.
        await asyncio.sleep(0)
        assert self._pool is not None
        assert self._checkpointer is not None
        assert self._conn is not None
        pool, self._pool = self._pool, None
        await loop.run_in_executor(None, pool.shutdown)
        await loop.run_in_executor(None, self._checkpointer.close)
        for conn in [*self._reading, self._conn]:
            conn.close()
        self._reading.clear()

    async def _read(self, op: Op[T]) -> T:
        async with self._turns as waited:
            self._worth(waited)
            if self._pool is None:
                raise StoreClosed
            return await asyncio.get_running_loop().run_in_executor(self._pool, self._read_now, op)

    def _read_now(self, op: Op[T]) -> T:
        conn: apsw.Connection | None = getattr(self._local, "conn", None)
        if conn is None:
            assert self._opened is not None
            self._opened.check()
            conn = connection.connect(self._path, self._cache_bytes // 8, self._busy_ms, readonly=True)
            self._local.conn = conn
            self._local.reads = reads = Reads()  # one a thread: nothing is counted twice or lost
            self._reading.append(conn)
            self._reads.append(reads)
        with connection.translated(self._path, conn):
            return runner.read(conn, op, self._local.reads)

    def _done(self) -> Reads:
        return Reads(sum(reads.operations for reads in self._reads), sum(reads.rows for reads in self._reads))

    async def _origin(self) -> str:
        """A copy is another file, also at the same path."""
        assert self._opened is not None
        return self._opened.origin()

    async def _settled(self) -> Place:
        """One writer: whatever is there is settled."""
        return await self._read(events.settled())

    async def _bytes(self) -> int:
        files = (self._path, self._path.with_name(self._path.name + "-wal"))
        return sum(file.stat().st_size for file in files if file.exists())
