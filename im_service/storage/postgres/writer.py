"""Group commit on the event loop: what waits becomes one transaction, one round of answers."""

import asyncio
import random
from collections import deque
from typing import Any

import asyncpg

from im_service.storage.errors import StoreError, StoreUnavailable
from im_service.storage.postgres.append import Appender
from im_service.storage.postgres.connection import AGAIN, GONE, unavailable
from im_service.storage.postgres.runner import WriteTransaction
from im_service.storage.queue import AckItem, Answer, AppendItem, Counters, Item, OpItem, deliver, highest

_ATTEMPTS = 6  # of a transaction that met another process
_PAUSE_S = 0.02  # longest first pause before the next one, doubled each time


class Writer:
    """`max_commit` bounds one transaction, `max_queued` what may wait (messages + operations)."""

    def __init__(self, pool: asyncpg.Pool, base: int, max_commit: int, max_queued: int) -> None:
        self._pool = pool
        self._base = base
        self._max_commit = max_commit
        self._max_queued = max_queued
        self._items: deque[Item] = deque()
        self._wake = asyncio.Event()
        self._stopping = False
        self._log = Appender()
        self.queued = 0
        self.counters = Counters()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._task = asyncio.create_task(self._main(), name="store-writer")

    async def stop(self) -> None:
        """Commit what waits, then end."""
        self._stopping = True
        self._wake.set()
        if self._task is not None:
            await self._task

    def put(self, item: Item) -> None:
        """StoreUnavailable when full or stopped."""
        if self._stopping:
            raise StoreUnavailable("the store is closed")
        if self.queued and self.queued + item.weight > self._max_queued:
            raise StoreUnavailable(f"{self.queued} writes wait already (limit {self._max_queued})")
        self._items.append(item)
        self.queued += item.weight
        self._wake.set()

    async def _main(self) -> None:
        while self._items or not self._stopping:
            if not self._items:
                self._wake.clear()
                await self._wake.wait()
                continue
            taken = [self._items.popleft()]
            weight = taken[0].weight
            while self._items and weight + self._items[0].weight <= self._max_commit:
                taken.append(self._items.popleft())
                weight += taken[-1].weight
            self.queued -= weight
            deliver(await self._commit(taken))

    async def _commit(self, items: list[Item]) -> list[Answer]:
        reason: Exception = StoreUnavailable("other processes kept changing the same rows")
        for attempt in range(_ATTEMPTS):
            try:
                async with self._pool.acquire() as conn:
                    answers = await self._attempt(conn, items)
                self.counters.commits += 1
                return answers
            except AGAIN:
                await asyncio.sleep(random.uniform(0, _PAUSE_S * 2**attempt))
            except GONE as error:
                reason = unavailable(error)
                break
            except Exception as error:
                reason = StoreError(f"PostgreSQL: {error}") if isinstance(error, asyncpg.DataError) else error
                if len(items) > 1:
                    # Something in here cannot be stored: each item alone, so that only the culprit fails.
                    return [answer for item in items for answer in await self._commit([item])]
                break
        self.counters.failed_commits += 1
        return [(item, reason) for item in items]

    async def _attempt(self, conn: asyncpg.Connection, items: list[Item]) -> list[Answer]:
        sends = [item for item in items if isinstance(item, AppendItem)]
        await self._log.intern(conn, [message for item in sends for message in item.batch])
        acks = [item for item in items if isinstance(item, AckItem)]
        async with conn.transaction():
            tx = WriteTransaction(conn, self._log, self._base)
            answers: list[Answer] = []
            run: list[AppendItem] = []
            for item in items:
                if isinstance(item, AppendItem):
                    run.append(item)
                if not isinstance(item, OpItem):
                    continue
                answers += await self._append(tx, run)
                run = []
                answers.append((item, await self._operation(tx, item)))
            answers += await self._append(tx, run)
            await self._log.ack(conn, highest(acks))
        return answers + [(item, None) for item in acks]

    async def _append(self, tx: WriteTransaction, run: list[AppendItem]) -> list[Answer]:
        if not run:
            return []
        merged = [message for item in run for message in item.batch]
        results = await self._log.append(tx.conn, merged, await tx.change())
        self.counters.committed_messages += len(merged)
        answers: list[Answer] = []
        at = 0
        for item in run:
            answers.append((item, results[at : at + item.weight]))
            at += item.weight
        return answers

    async def _operation(self, tx: WriteTransaction, item: OpItem) -> Any:
        """In a savepoint of its own: its error undoes it alone. The engine's errors undo everything."""
        try:
            async with tx.conn.transaction():
                return await tx.run(item.make())
        except (StoreError, ArithmeticError, LookupError, TypeError, ValueError, AssertionError) as error:
            return error
