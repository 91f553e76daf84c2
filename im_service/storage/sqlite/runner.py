"""Runs operations on a SQLite connection: the writer's, with change numbers and log, or a reader's."""

from typing import TypeVar

import apsw

from im_service.storage.engine import drive
from im_service.storage.ops.tx import (
    Append,
    Command,
    DropKeys,
    Emit,
    Ends,
    Forget,
    Horizon,
    NextChange,
    Op,
    Row,
    Sql,
)
from im_service.storage.queue import Reads
from im_service.storage.sqlite.append import Appender
from im_service.storage.sqlite.connection import query

T = TypeVar("T")
_LAST = "max(coalesce((SELECT max(id) FROM message), 0), (SELECT value FROM meta WHERE key = 'gone_message'))"
"""The last number of the log; its row may be gone."""
_ENDS = f"SELECT {_LAST}, coalesce((SELECT seq FROM sqlite_sequence WHERE name = 'event'), 0)"
_EMIT = (
    "INSERT INTO event (pos, server_id, time_ms, kind, subject, data, env)"
    f" VALUES ({_LAST}, ?, ?, ?, ?, ?, ?)"
)


def read(conn: apsw.Connection, op: Op[T], reads: Reads) -> T:
    """One operation on one snapshot."""

    def execute(command: Command) -> list[Row]:
        if isinstance(command, Sql):
            found = query(conn, *command)
            reads.rows += len(found)
            return found
        if isinstance(command, Ends):
            return query(conn, _ENDS, ())
        assert isinstance(command, Horizon), "a read changes nothing"
        # One writer, changes numbered in commit order: all up to the present one are committed.
        return [(conn.execute("SELECT value + 1 FROM meta WHERE key = 'change'").get,)]

    reads.operations += 1
    conn.execute("BEGIN")
    try:
        return drive(op, execute)
    finally:
        conn.execute("COMMIT")


class WriteTransaction:
    """What the writer keeps between and during its transactions."""

    def __init__(self, conn: apsw.Connection) -> None:
        self._conn = conn
        self.log = Appender(conn)
        self._data_version = -1
        self._change = 0
        self._bumped = False

    def begin(self) -> None:
        self._conn.execute("BEGIN IMMEDIATE")
        version = self._conn.pragma("data_version")
        if version != self._data_version:
            self._data_version = version
            self.log.forget()
            self._change = self._conn.execute("SELECT value FROM meta WHERE key = 'change'").get
        self._bumped = False
        self.log.begin()

    def commit(self) -> None:
        if self._bumped:
            self._conn.execute("UPDATE meta SET value = ? WHERE key = 'change'", (self._change,))
        self._conn.execute("COMMIT")

    def undo(self) -> None:
        """After Repeated: nothing of the transaction stands, what was known before it still does."""
        self._conn.execute("ROLLBACK")
        self.log.undone()
        if self._bumped:
            self._change -= 1

    def rollback(self) -> None:
        """Also after an error that already undid the transaction (disk full)."""
        if self._conn.in_transaction:
            self._conn.execute("ROLLBACK")
        self._data_version = -1

    def change(self) -> int:
        if not self._bumped:
            self._change += 1
            self._bumped = True
        return self._change

    def run(self, op: Op[T]) -> T:
        """The operation in a savepoint of its own: its error undoes it alone."""
        self._conn.execute("SAVEPOINT op")
        try:
            result = drive(op, self._execute)
        except BaseException:
            if self._conn.in_transaction:
                self._conn.execute("ROLLBACK TO op")
                self._conn.execute("RELEASE op")
            self.log.forget()
            raise
        self._conn.execute("RELEASE op")
        return result

    def _execute(self, command: Command) -> list[Row]:
        if isinstance(command, Sql):
            return query(self._conn, *command)
        if isinstance(command, Append):
            return list(self.log.append(command.batch, self.change()))
        if isinstance(command, Emit):
            self._conn.executemany(_EMIT, command.events)
            return []
        if isinstance(command, Ends):
            return query(self._conn, _ENDS, ())
        if isinstance(command, NextChange | Horizon):
            return [(self.change(),)]
        if isinstance(command, Forget):
            self.log.forget(command.conversation)
        if isinstance(command, DropKeys):  # the unique index on the message itself is the key
            self.log.rows_went()
        return []
