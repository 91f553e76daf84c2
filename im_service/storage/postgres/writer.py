"""The one task that changes the database: all that waits, one transaction, then the answers."""

import asyncio
import random
from collections.abc import Iterable

import asyncpg

from im_service.storage.engine import drive_async
from im_service.storage.errors import StoreError, StoreUnknown
from im_service.storage.postgres.append import Appender
from im_service.storage.postgres.connection import (
    AGAIN,
    ELSEWHERE,
    GONE,
    left_when_silent,
    unavailable,
    unknown,
)
from im_service.storage.postgres.runner import WriteTransaction
from im_service.storage.queue import (
    OWN_ERRORS,
    Again,
    Answer,
    AppendItem,
    Attempt,
    Item,
    OpItem,
    Run,
    WriteQueue,
    highest,
    in_order,
)

_PAUSE_S = 0.02  # longest pause before the second attempt, doubled for each further one


class Writer:
    def __init__(self, pool: asyncpg.Pool, base: int, max_commit: int, max_queued: int) -> None:
        self._pool = pool
        self._base = base
        self._log = Appender()
        self._wake = asyncio.Event()
        self.queue = WriteQueue(max_commit, max_queued, self._wake.set)
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._task = asyncio.create_task(self._main(), name="store-writer")

    async def stop(self) -> None:
        """Commit what waits, then end."""
        self.queue.close()
        if self._task is not None:
            await self._task

    async def _main(self) -> None:
        while (items := await self._next()) is not None:
            self.queue.hand_out(await drive_async(self.queue.commit(items), self._attempt))

    async def _next(self) -> list[Item] | None:
        while (items := self.queue.take()) == []:
            self._wake.clear()
            await self._wake.wait()
        return items

    async def _attempt(self, attempt: Attempt) -> list[Answer]:
        if attempt.number:
            await asyncio.sleep(random.uniform(0, _PAUSE_S * 2 ** (attempt.number - 1)))
        try:
            async with self._pool.acquire() as conn:
                with left_when_silent(conn):
                    return await self._transaction(conn, attempt.items)
        except AGAIN as error:
            raise Again from error
        except StoreUnknown:
            await self._pool.expire_connections()
            raise
        except GONE as error:
            if isinstance(error, ELSEWHERE):
                await self._pool.expire_connections()
            raise unavailable(error) from error
        except asyncpg.DataError as error:
            raise StoreError(f"PostgreSQL: {error}") from error

    async def _transaction(self, conn: asyncpg.Connection, items: list[Item]) -> list[Answer]:
        sends = [item for item in items if isinstance(item, AppendItem)]
        await self._log.intern(conn, [message for item in sends for message in item.batch])
        steps, acks = in_order(items)
        answers: list[Answer] = []
        written = False
        try:
            with left_when_silent(conn):
                async with conn.transaction():
                    with left_when_silent(conn):
                        answers += await self._write(conn, steps)
                        await self._log.ack(conn, highest(acks))
                        written = True
        except GONE as error:
            if written:
                raise unknown(error) from error
            raise
        return answers + [(item, None) for item in acks]

    async def _write(self, conn: asyncpg.Connection, steps: Iterable[Run | OpItem]) -> list[Answer]:
        tx = WriteTransaction(conn, self._log, self._base)
        answers: list[Answer] = []
        for step in steps:
            if isinstance(step, OpItem):
                answers.append((step, await self._operation(tx, step)))
            else:
                answers += step.answers(await self._log.append(conn, step.batch(), await tx.change()))
        return answers

    async def _operation(self, tx: WriteTransaction, item: OpItem) -> object:
        try:
            return await tx.run(item.make())
        except OWN_ERRORS as error:  # an error of the engine undoes everything
            return error
