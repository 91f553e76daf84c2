"""The one thread that changes the file: all that waits, one transaction, one fsync, then the answers."""

import asyncio
import contextlib
import threading
from pathlib import Path

import apsw

from im_service.storage.engine import drive
from im_service.storage.errors import StoreUnavailable, StoreUnknown
from im_service.storage.queue import (
    OWN_ERRORS,
    Again,
    Answer,
    Attempt,
    Item,
    OpItem,
    WriteQueue,
    highest,
    in_order,
)
from im_service.storage.sqlite.append import Repeated
from im_service.storage.sqlite.connection import unavailable
from im_service.storage.sqlite.opened_file import OpenedFile
from im_service.storage.sqlite.runner import WriteTransaction

_BAD_VALUE = (apsw.TooBigError, apsw.MismatchError, apsw.RangeError, apsw.ConstraintError, apsw.SQLError)


class Writer:
    def __init__(
        self,
        conn: apsw.Connection,
        path: Path,
        opened: OpenedFile,
        loop: asyncio.AbstractEventLoop,
        max_commit: int,
        max_queued: int,
    ) -> None:
        self._path = path
        self._opened = opened
        self._loop = loop
        self._conn = conn
        self._tx = WriteTransaction(conn)
        self._wake = threading.Event()
        self.queue = WriteQueue(max_commit, max_queued, self._wake.set)
        self._thread = threading.Thread(target=self._main, name="store-writer", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Commit what waits, end the thread. Blocks: call from a worker thread."""
        self.queue.close()
        self._thread.join()

    def _main(self) -> None:
        while (items := self._next()) is not None:
            answers = drive(self.queue.commit(items), self._attempt)
            try:
                self._loop.call_soon_threadsafe(self.queue.hand_out, answers)
            except RuntimeError:
                return  # the loop was closed: nobody is left to hear the answers

    def _next(self) -> list[Item] | None:
        while (items := self.queue.take()) == []:
            self._wake.wait()
            self._wake.clear()  # before the queue is looked at again: what came since is seen, or wakes anew
        return items

    def _attempt(self, attempt: Attempt) -> list[Answer]:
        try:
            self._opened.check()
            self._tx.begin()
            answers = self._execute(attempt.items)
            self._tx.commit()
            self._check_again()
            return answers
        except Repeated as error:
            self._tx.undo()
            raise Again from error
        except Exception as error:
            self._rollback(error)
            if isinstance(error, apsw.Error) and not isinstance(error, _BAD_VALUE):
                if isinstance(error, apsw.FullError):
                    self._make_room()
                raise unavailable(self._path, error, self._conn) from error
            raise

    def _make_room(self) -> None:
        """The log may hold most of a small disk: what was folded into the file is cut off."""
        with contextlib.suppress(apsw.Error):
            self._conn.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)

    def _check_again(self) -> None:
        """After the commit: nothing is acknowledged that the next start may not find."""
        try:
            self._opened.check()
        except StoreUnavailable as error:
            raise StoreUnknown(str(error)) from error

    def _rollback(self, reason: Exception) -> None:
        try:
            self._tx.rollback()
        except apsw.Error as error:
            reason.add_note(f"rollback: {error}")

    def _execute(self, items: list[Item]) -> list[Answer]:
        steps, acks = in_order(items)
        answers: list[Answer] = []
        for step in steps:
            if isinstance(step, OpItem):
                answers.append((step, self._operation(step)))
            else:
                answers += step.answers(self._tx.log.append(step.batch(), self._tx.change()))
        self._tx.log.ack(highest(acks))
        return answers + [(item, None) for item in acks]

    def _operation(self, item: OpItem) -> object:
        try:
            return self._tx.run(item.make())
        except apsw.Error:
            raise  # the engine failed: nothing of this transaction may be acknowledged
        except OWN_ERRORS as error:
            return error
