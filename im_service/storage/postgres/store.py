"""PostgresStore: every Protocol of `base` on one database that several im processes may share."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

import asyncpg

from im_service.storage.errors import StoreUnavailable
from im_service.storage.faces import Facade
from im_service.storage.ops import upkeep
from im_service.storage.ops.tx import Op
from im_service.storage.postgres import connection, runner
from im_service.storage.postgres.writer import Writer
from im_service.storage.queue import AckItem, AppendItem, OpItem, Reads
from im_service.storage.records import Done, Mark, NewMessage

T = TypeVar("T")


class PostgresStore(Facade):
    """`dsn` as asyncpg takes it. `connections`: one writes, the others read.

    timeout_s bounds every connect and every statement. max_commit: messages and operations in one
    transaction. max_queued: how many may wait before StoreUnavailable.
    """

    def __init__(
        self,
        dsn: str,
        *,
        connections: int = 5,
        timeout_s: float = 10.0,
        max_commit: int = 1_000,
        max_queued: int = 50_000,
    ) -> None:
        self._dsn = dsn
        self._connections = connections
        self._timeout_s = timeout_s
        self._max_commit = max_commit
        self._max_queued = max_queued
        self._pool: asyncpg.Pool | None = None
        self._writer: Writer | None = None
        self._base = 0
        self._reads = Reads()

    async def start(self) -> None:
        self._pool = await connection.open_pool(self._dsn, self._connections, self._timeout_s)
        try:
            async with self._pool.acquire() as conn:
                await connection.migrate(conn)
                self._base = await conn.fetchval("SELECT value FROM meta WHERE key = 'change_base'")
        except BaseException:
            await self._pool.close()
            raise
        self._writer = Writer(self._pool, self._base, self._max_commit, self._max_queued)
        self._writer.start()

    async def stop(self) -> None:
        writer, self._writer = self._writer, None
        pool, self._pool = self._pool, None
        if writer is not None:
            await writer.stop()
        if pool is not None:
            await pool.close()

    def append(self, batch: Sequence[NewMessage], done: Done) -> None:
        try:
            self._open_writer().put(AppendItem(batch, done))
        except StoreUnavailable as error:
            asyncio.get_running_loop().call_soon(done, error)

    async def _write(self, make: Callable[[], Op[T]], weight: int = 1) -> T:
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._open_writer().put(OpItem(make, future, weight))
        return await future

    async def ack(self, user: str, device: str, marks: Sequence[Mark]) -> None:
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._open_writer().put(AckItem(user, device, marks, future))
        await future

    async def _read(self, op: Op[T]) -> T:
        if self._pool is None:
            raise StoreUnavailable("the store is closed")
        try:
            async with self._pool.acquire(timeout=self._timeout_s) as conn:
                return await runner.read(conn, op, self._base, self._reads)
        except connection.GONE as error:
            raise connection.unavailable(error) from error

    def _open_writer(self) -> Writer:
        if self._writer is None:
            raise StoreUnavailable("the store is closed")
        return self._writer

    async def stats(self) -> Mapping[str, int]:
        writer = self._open_writer()
        counted = await self._read(upkeep.stats())
        assert self._pool is not None
        size = await self._pool.fetchval("SELECT pg_database_size(current_database())")
        counters = writer.counters
        return counted | {
            "queued": writer.queued,
            "commits": counters.commits,
            "committed_messages": counters.committed_messages,
            "failed_commits": counters.failed_commits,
            "reads_total": self._reads.operations,
            "rows_read_total": self._reads.rows,
            "bytes": int(size),
        }
