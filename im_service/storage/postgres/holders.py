"""The holders of a PostgreSQL store: an advisory lock for each, on a connection of its own."""

import asyncpg

from im_service.storage.errors import StoreUnavailable
from im_service.storage.postgres import connection

MARK = 0x51
"""First byte of our advisory locks; the other seven are the node key."""
_HELD = """
SELECT (classid::bigint << 32 | objid::bigint) & x'00ffffffffffffff'::bigint FROM pg_locks
WHERE locktype = 'advisory' AND objsubid = 1 AND granted AND classid::bigint >> 24 = $1
AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
"""


class LockHolders:
    """Implements Holders. The server notices a machine that vanished by its keepalives, and gives the lock
    back.
    """

    patience_s = 15.0

    def __init__(self, dsn: str, timeout_s: float = 5.0) -> None:
        self._dsn = dsn
        self._timeout_s = timeout_s
        self._conn: asyncpg.Connection | None = None

    async def hold(self, own: int) -> None:
        if self._conn is not None and not self._conn.is_closed():
            return
        conn = await self._connected()
        try:
            held = await conn.fetchval("SELECT pg_try_advisory_lock($1)", MARK << 56 | own)
        except connection.GONE as error:
            conn.terminate()
            raise connection.unavailable(error) from error
        except BaseException:
            conn.terminate()
            raise
        if not held:
            conn.terminate()
            raise StoreUnavailable("the connection that was lost still holds the lock")
        self._conn = conn

    async def others(self, own: int) -> list[int]:
        conn = self._conn or await self._connected()
        try:
            return [row[0] for row in await conn.fetch(_HELD, MARK) if row[0] != own]
        except connection.GONE as error:
            raise connection.unavailable(error) from error
        finally:
            if conn is not self._conn:
                conn.terminate()

    async def _connected(self) -> asyncpg.Connection:
        try:
            return await connection.connect(
                self._dsn,
                timeout=self._timeout_s,
                command_timeout=self._timeout_s,
                server_settings={
                    "application_name": "qianwan holder",
                    "tcp_keepalives_idle": "5",
                    "tcp_keepalives_interval": "2",
                    "tcp_keepalives_count": "3",
                },
            )
        except connection.GONE as error:
            raise connection.unavailable(error) from error

    async def release(self) -> None:
        conn, self._conn = self._conn, None
        if conn is not None:
            conn.terminate()
