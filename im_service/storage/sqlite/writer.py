"""The one thread that changes the file: all that waits, one transaction, one fsync, then the answers."""

import asyncio
import threading
from collections import deque
from pathlib import Path
from typing import Any

import apsw

from im_service.storage.errors import StoreError, StoreUnavailable
from im_service.storage.queue import AckItem, Answer, AppendItem, Counters, Item, OpItem, deliver, highest
from im_service.storage.sqlite.append import Repeated
from im_service.storage.sqlite.connection import unavailable
from im_service.storage.sqlite.runner import WriteTransaction

_BAD_VALUE = (apsw.TooBigError, apsw.MismatchError, apsw.RangeError, apsw.ConstraintError, apsw.SQLError)


class Writer:
    """Group commit. `max_commit` bounds one transaction, `max_queued` what waits (messages, operations)."""

    def __init__(
        self,
        conn: apsw.Connection,
        path: Path,
        loop: asyncio.AbstractEventLoop,
        max_commit: int,
        max_queued: int,
    ) -> None:
        self._conn = conn
        self._path = path
        self._loop = loop
        self._max_commit = max_commit
        self._max_queued = max_queued
        self._tx = WriteTransaction(conn)
        self._items: deque[Item] = deque()
        self._wake = threading.Condition()
        self._stopping = False
        self.queued = 0
        self.counters = Counters()
        self._thread = threading.Thread(target=self._main, name="store-writer", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Commit what waits, end the thread. Blocks: call from a worker thread."""
        with self._wake:
            self._stopping = True
            self._wake.notify()
        self._thread.join()

    def put(self, item: Item) -> None:
        """From the event loop; never waits for the disk. StoreUnavailable when full or stopped."""
        with self._wake:
            if self._stopping:
                raise StoreUnavailable("the store is closed")
            if self.queued and self.queued + item.weight > self._max_queued:
                raise StoreUnavailable(f"{self.queued} writes wait already (limit {self._max_queued})")
            self._items.append(item)
            self.queued += item.weight
            self._wake.notify()

    def _take(self) -> list[Item]:
        with self._wake:
            while not self._items and not self._stopping:
                self._wake.wait()
            taken: list[Item] = []
            weight = 0
            while self._items and (not taken or weight + self._items[0].weight <= self._max_commit):
                taken.append(self._items.popleft())
                weight += taken[-1].weight
            self.queued -= weight
            return taken

    def _main(self) -> None:
        while items := self._take():
            answers = self._commit(items)
            try:
                self._loop.call_soon_threadsafe(deliver, answers)
            except RuntimeError:
                return  # the loop was closed: nobody is left to hear the answers

    def _commit(self, items: list[Item]) -> list[Answer]:
        try:
            try:
                answers = self._transaction(items)
            except Repeated:
                self._tx.undo()
                answers = self._transaction(items)
        except _BAD_VALUE as error:
            return self._apart(items, error)
        except apsw.Error as error:
            return self._failed(items, unavailable(self._path, error))
        except Exception as error:
            return self._apart(items, error)
        self.counters.commits += 1
        self.counters.committed_messages += sum(item.weight for item in items if isinstance(item, AppendItem))
        return answers

    def _transaction(self, items: list[Item]) -> list[Answer]:
        self._tx.begin()
        answers = self._execute(items)
        self._tx.commit()
        return answers

    def _apart(self, items: list[Item], error: Exception) -> list[Answer]:
        """Something in here cannot be stored: each item alone, so that only the culprit fails."""
        failed = self._failed(items, error)
        return failed if len(items) == 1 else [answer for item in items for answer in self._commit([item])]

    def _failed(self, items: list[Item], reason: Exception) -> list[Answer]:
        self.counters.failed_commits += 1
        try:
            self._tx.rollback()
        except apsw.Error as error:
            reason.add_note(f"rollback: {error}")
        return [(item, reason) for item in items]

    def _execute(self, items: list[Item]) -> list[Answer]:
        """In queue order; neighbouring batches of messages become one, watermarks come last."""
        answers: list[Answer] = []
        run: list[AppendItem] = []
        acks: list[AckItem] = []
        for item in items:
            if isinstance(item, AppendItem):
                run.append(item)
                continue
            if isinstance(item, AckItem):
                acks.append(item)
                continue
            answers += self._append(run)
            run = []
            answers.append((item, self._operation(item)))
        answers += self._append(run)
        self._tx.log.ack(highest(acks))
        return answers + [(item, None) for item in acks]

    def _append(self, run: list[AppendItem]) -> list[Answer]:
        if not run:
            return []
        merged = list(run[0].batch) if len(run) == 1 else [message for item in run for message in item.batch]
        results = self._tx.log.append(merged, self._tx.change())
        answers: list[Answer] = []
        at = 0
        for item in run:
            answers.append((item, results[at : at + item.weight]))
            at += item.weight
        return answers

    def _operation(self, item: OpItem) -> Any:
        try:
            return self._tx.run(item.make())
        except apsw.Error:
            raise  # the engine failed: nothing of this transaction may be acknowledged
        except (StoreError, ArithmeticError, LookupError, TypeError, ValueError, AssertionError) as error:
            return error
