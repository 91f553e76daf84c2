"""Runs operations on a PostgreSQL connection."""

from typing import TypeVar

import asyncpg

from im_service.storage.ops.tx import Append, DropKeys, Forget, Horizon, NextChange, Op, Row, Sql
from im_service.storage.postgres.append import Appender
from im_service.storage.postgres.connection import query
from im_service.storage.queue import Reads

T = TypeVar("T")


async def read(conn: asyncpg.Connection, op: Op[T], base: int, reads: Reads) -> T:
    """One operation on one snapshot."""
    reads.operations += 1
    async with conn.transaction(isolation="repeatable_read", readonly=True):
        return await _drive(conn, op, base, None, reads)


class WriteTransaction:
    """One transaction; the change number of everything in it is its own number."""

    def __init__(self, conn: asyncpg.Connection, log: Appender, base: int) -> None:
        self.conn = conn
        self.log = log
        self.base = base
        self._change = 0

    async def change(self) -> int:
        if not self._change:
            self._change = self.base + int(
                await self.conn.fetchval("SELECT pg_current_xact_id()::text::bigint")
            )
        return self._change

    async def run(self, op: Op[T]) -> T:
        return await _drive(self.conn, op, self.base, self)


async def _drive(
    conn: asyncpg.Connection, op: Op[T], base: int, tx: WriteTransaction | None, reads: Reads | None = None
) -> T:
    answer: list[Row] | None = None
    while True:
        try:
            command = next(op) if answer is None else op.send(answer)
        except StopIteration as stop:
            result: T = stop.value
            return result
        if isinstance(command, Sql):
            answer = await query(conn, *command)
            if reads is not None:
                reads.rows += len(answer)
        elif isinstance(command, Horizon):
            # Transactions below the oldest one still running are all over, and in this snapshot.
            horizon = await conn.fetchval("SELECT pg_snapshot_xmin(pg_current_snapshot())::text::bigint")
            answer = [(base + int(horizon),)]
        else:
            assert tx is not None, "a read changes nothing"
            answer = await _change_command(tx, command)


async def _change_command(
    tx: WriteTransaction, command: Append | NextChange | Forget | DropKeys
) -> list[Row]:
    if isinstance(command, NextChange):
        return [(await tx.change(),)]
    if isinstance(command, Append):
        return list(await tx.log.append(tx.conn, command.batch, await tx.change()))
    if isinstance(command, DropKeys):
        await tx.conn.execute(
            "DELETE FROM send_key k USING unnest($1::bigint[], $2::text[]) g (sender, client_id)"
            " WHERE k.sender = g.sender AND k.client_id = g.client_id",
            [key[0] for key in command.keys],
            [key[1] for key in command.keys],
        )
    return []  # Forget: nothing is cached that another process could change
