"""Runs operations on a PostgreSQL connection."""

from typing import TypeVar

import asyncpg

from im_service.storage.engine import drive_async
from im_service.storage.ops.tx import Append, Command, DropKeys, Emit, Ends, Horizon, NextChange, Op, Row, Sql
from im_service.storage.postgres.append import Appender
from im_service.storage.postgres.connection import left_when_silent, query
from im_service.storage.postgres.settled import numbered
from im_service.storage.queue import Reads

T = TypeVar("T")
_EMIT = (  # numbered in the order given, from the sequence of the log
    "INSERT INTO event (id, pos, server_id, time_ms, kind, subject, data, env)"
    " SELECT n, n, server_id, time_ms, kind, subject, data, env FROM"
    " (SELECT nextval('message_id_seq') AS n, u.* FROM unnest($1::bigint[], $2::bigint[], $3::text[],"
    " $4::text[], $5::bytea[], $6::text[]) u (server_id, time_ms, kind, subject, data, env)) s"
)


async def read(conn: asyncpg.Connection, op: Op[T], base: int, reads: Reads) -> T:
    """One operation on one snapshot."""

    async def execute(command: Command) -> list[Row]:
        if isinstance(command, Sql):
            found = await query(conn, *command)
            reads.rows += len(found)
            return found
        if isinstance(command, Ends):
            return [(await numbered(conn),) * 2]
        assert isinstance(command, Horizon), "a read changes nothing"
        return await _horizon(conn, base)

    reads.operations += 1
    with left_when_silent(conn):
        async with conn.transaction(isolation="repeatable_read", readonly=True):
            with left_when_silent(conn):
                return await drive_async(op, execute)


async def _horizon(conn: asyncpg.Connection, base: int) -> list[Row]:
    """Transactions below the oldest one still running are all over, and in this snapshot."""
    oldest = await conn.fetchval("SELECT pg_snapshot_xmin(pg_current_snapshot())::text::bigint")
    return [(base + int(oldest),)]


class WriteTransaction:
    """One transaction; the change number of everything in it is its own number."""

    def __init__(self, conn: asyncpg.Connection, log: Appender, base: int) -> None:
        self.conn = conn
        self.log = log
        self._base = base
        self._change = 0

    async def change(self) -> int:
        if not self._change:
            self._change = self._base + int(
                await self.conn.fetchval("SELECT pg_current_xact_id()::text::bigint")
            )
        return self._change

    async def run(self, op: Op[T]) -> T:
        """The operation in a savepoint of its own: its error undoes it alone."""
        async with self.conn.transaction():
            with left_when_silent(self.conn):
                return await drive_async(op, self._execute)

    async def _execute(self, command: Command) -> list[Row]:
        if isinstance(command, Sql):
            return await query(self.conn, *command)
        if isinstance(command, Append):
            return list(await self.log.append(self.conn, command.batch, await self.change()))
        if isinstance(command, Emit):
            columns = (list(column) for column in zip(*command.events, strict=True))
            await self.conn.execute(_EMIT, *columns)
            return []
        if isinstance(command, Ends):
            return [(await numbered(self.conn),) * 2]
        if isinstance(command, NextChange):
            return [(await self.change(),)]
        if isinstance(command, Horizon):
            return await _horizon(self.conn, self._base)
        if isinstance(command, DropKeys):
            await self.conn.execute(
                "DELETE FROM send_key k USING unnest($1::bigint[], $2::text[]) g (sender, client_id)"
                " WHERE k.sender = g.sender AND k.client_id = g.client_id",
                [key[0] for key in command.keys],
                [key[1] for key in command.keys],
            )
        return []  # Forget: nothing is cached that another process could change
