"""PostgresStore: a store on one database that several im processes may share."""

from collections.abc import Awaitable, Callable
from typing import TypeVar

import asyncpg

from im_service.storage.errors import StoreClosed
from im_service.storage.event_records import Place
from im_service.storage.ops.tx import Op
from im_service.storage.postgres import connection, runner
from im_service.storage.postgres.settled import Settled
from im_service.storage.postgres.writer import Writer
from im_service.storage.queue import Reads
from im_service.storage.shares import Turns
from im_service.storage.store import Store

T = TypeVar("T")
_ORIGIN = (
    "SELECT system_identifier || '/' || d.oid FROM pg_control_system(), pg_database d"
    " WHERE d.datname = current_database()"
)


class PostgresStore(Store):
    """`dsn` as asyncpg takes it. `connections`: one writes, the others read.

    timeout_s bounds every connect and every statement. max_commit: messages and operations in one
    transaction. max_queued: how many may wait before StoreUnavailable.
    """

    _one_sequence = True

    def __init__(
        self,
        dsn: str,
        *,
        connections: int = 5,
        timeout_s: float = 10.0,
        max_commit: int = 1_000,
        max_queued: int = 50_000,
    ) -> None:
        super().__init__()
        self._dsn = dsn
        self._connections = connections
        self._timeout_s = timeout_s
        self._max_commit = max_commit
        self._max_queued = max_queued
        self._pool: asyncpg.Pool | None = None
        self._turns = Turns(max(1, connections - 1))
        self._writer: Writer | None = None
        self._base = 0
        self._reads = Reads()
        self._known = Settled()

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
        self._queue = self._writer.queue
        self._writer.start()

    async def look(self) -> int:
        return await self._looked(connection.look)

    async def pinned(self) -> bool:
        return await self._looked(connection.pinned)

    async def _looked(self, work: Callable[[asyncpg.Connection], Awaitable[T]]) -> T:
        pool = await connection.open_pool(self._dsn, 1, self._timeout_s)
        try:
            async with pool.acquire() as conn:
                return await work(conn)
        finally:
            await pool.close()

    async def stop(self) -> None:
        writer, self._writer, self._queue = self._writer, None, None
        pool, self._pool = self._pool, None
        if writer is not None:
            await writer.stop()
        if pool is not None:
            await pool.close()

    def _open_pool(self) -> asyncpg.Pool:
        if self._pool is None:
            raise StoreClosed
        return self._pool

    async def _read(self, op: Op[T]) -> T:
        try:
            async with self._turns as waited:
                self._worth(waited)
                async with self._open_pool().acquire(timeout=self._timeout_s) as conn:
                    return await runner.read(conn, op, self._base, self._reads)
        except connection.GONE as error:
            raise connection.unavailable(error) from error

    def _done(self) -> Reads:
        return self._reads

    async def _origin(self) -> str:
        """A dump that was read back is another database, mostly of another cluster."""
        try:
            return str(await self._open_pool().fetchval(_ORIGIN, timeout=self._timeout_s))
        except connection.GONE as error:
            raise connection.unavailable(error) from error

    async def _settled(self) -> Place:
        try:
            async with self._open_pool().acquire(timeout=self._timeout_s) as conn:
                number = await self._known.look(conn)
        except connection.GONE as error:
            raise connection.unavailable(error) from error
        return Place(number, number)

    async def _bytes(self) -> int:
        return int(await self._open_pool().fetchval("SELECT pg_database_size(current_database())"))
