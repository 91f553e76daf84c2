"""The hot path: a batch of messages for many conversations into the log, in few calls.

Every call into SQLite lets go of the interpreter and must win it back from a busy event loop, so rows go in
by hundreds per statement. Names and conversation heads are cached: this connection is the only writer, and
forgets everything when the file was changed by somebody else or its transaction was undone.

Rows go in without a savepoint: with one, or with a statement that can be undone by itself (OR ABORT, the
default), SQLite copies every page before it changes it, a third of the whole cost. A repeated send is rare,
so one that is found undoes the transaction, which is then written again with a look at the keys first.
"""

from collections.abc import Sequence

import apsw

from frame.constants import GROUP_PREFIX
from im_service.storage.codec import HELD_COLUMNS, held_row, pack_target, people_of
from im_service.storage.dedupe import CACHED_NAMES, MISSING, Key, Known, repeated
from im_service.storage.ops.tx import Row, Value
from im_service.storage.records import AppendResult, AppendStatus, NewMessage

_LOOKS = 64  # transactions that look first after a repeated key: who repeats one often repeats more

_SIZES = tuple(1 << power for power in range(9, -1, -1))
"""Rows per statement: any number of rows is few statements. The longest stays below the 16 KiB of SQL that
apsw's statement cache takes."""
_COLUMNS = (
    "conv", "seq", "sender", "client_id", "digest", "server_id", "time_ms", "type", "bits", "flags",
    "expires_ms", "target", "payload",
)  # fmt: skip


def _values(columns: int, rows: int) -> str:
    return ",".join(["(" + ",".join("?" * columns) + ")"] * rows)


_INSERT = {
    n: f"INSERT OR FAIL INTO message ({','.join(_COLUMNS)}) VALUES {_values(len(_COLUMNS), n)}"
    for n in _SIZES
}
_HEADS = {
    n: f"INSERT OR FAIL INTO conversation (id, name, last_seq, last_time_ms, change) VALUES {_values(5, n)}"
    " ON CONFLICT (id) DO UPDATE SET last_seq = excluded.last_seq, last_time_ms = excluded.last_time_ms,"
    " change = excluded.change"
    for n in _SIZES
}
_KNOWN = {
    n: "SELECT sender, client_id, conv, digest, server_id, seq, time_ms FROM message"
    f" WHERE (sender, client_id) IN (VALUES {_values(2, n)})"
    for n in _SIZES
}
_HELD = f"INSERT INTO review (conv, seq, {HELD_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
_FIRST = (
    f"INSERT OR FAIL INTO message (id,{','.join(_COLUMNS)})"
    f" SELECT g.value + 1,{','.join('?' * len(_COLUMNS))} FROM meta g WHERE g.key = 'gone_message'"
    " AND g.value > (SELECT coalesce(max(id), 0) FROM message) RETURNING id"
)
_INBOX = "INSERT INTO inbox (usr, conv, change) VALUES (?, ?, ?) ON CONFLICT DO NOTHING"

_ACKS = {
    n: "INSERT INTO device_mark (usr, number, conv, acked_seq)"
    " SELECT d.usr, d.number, c.id, min(v.column4, c.last_seq)"
    f" FROM (VALUES {_values(4, n)}) v JOIN account a ON a.name = v.column1"
    " JOIN device d ON d.usr = a.id AND d.name = v.column2 JOIN conversation c ON c.name = v.column3"
    " JOIN inbox i ON i.usr = a.id AND i.conv = c.id"
    " WHERE true ON CONFLICT (usr, number, conv) DO UPDATE SET acked_seq = excluded.acked_seq"
    " WHERE excluded.acked_seq > device_mark.acked_seq"
    for n in _SIZES
}

_new = tuple.__new__
_NEW = AppendStatus.NEW


class Repeated(Exception):
    """A key of this batch is in the log already: undo the transaction and write it again."""


class Head:
    """End of a conversation as of this transaction."""

    __slots__ = ("conv", "last_seq", "last_time_ms", "name")

    def __init__(self, name: str, conv: int, last_seq: int, last_time_ms: int) -> None:
        self.name = name
        self.conv = conv
        self.last_seq = last_seq
        self.last_time_ms = last_time_ms


class Appender:
    def __init__(self, conn: apsw.Connection) -> None:
        self._conn = conn
        self._heads: dict[str, Head] = {}
        self._accounts: dict[str, int] = {}
        # What this transaction loaded or moved, to be forgotten when it is undone.
        self._touched: list[dict[int, Head]] = []
        self._loaded_heads: list[str] = []
        self._loaded_accounts: list[str] = []
        self._made: list[str] = []  # conversations that this batch began
        self._number_first = True  # the rows with the highest numbers may have gone
        self._look_first = 0  # transactions that still look at the keys before they write

    def begin(self) -> None:
        """A transaction begins: what was written before it stands."""
        self._touched.clear()
        self._loaded_heads.clear()
        self._loaded_accounts.clear()
        if self._look_first:
            self._look_first -= 1

    def undone(self) -> None:
        """The transaction was rolled back because of a repeated key; the next ones look first."""
        for moved in self._touched:
            for head in moved.values():
                self._heads.pop(head.name, None)
        for name in self._loaded_heads:
            self._heads.pop(name, None)
        for name in self._loaded_accounts:
            self._accounts.pop(name, None)
        self._look_first = _LOOKS
        self._number_first = True

    def rows_went(self) -> None:
        """Rows of the log were removed. SQLite gives the highest numbers again once their rows are gone, and
        who reads the durable copy from there would not see what comes under them: the next row goes on
        above."""
        self._number_first = True

    def forget(self, conversation: str | None = None) -> None:
        """Drop one head, or everything cached (after a rollback, or a foreign commit)."""
        if conversation is not None:
            self._heads.pop(conversation, None)
            return
        self._heads.clear()
        self._accounts.clear()
        self._number_first = True

    def append(self, batch: Sequence[NewMessage], change: int) -> list[AppendResult]:
        """Commit-ready rows for `batch`, inside the caller's transaction. One result per message.

        Raises Repeated, with half of the rows written, when a key is in the log already.
        """
        if len(self._heads) + len(self._accounts) > CACHED_NAMES:
            self.forget()
        self._made.clear()
        self._resolve(batch, change)
        if not self._look_first:
            try:
                return self._write(batch, {}, change)
            except apsw.ConstraintError as error:
                raise Repeated from error
        accounts = self._accounts
        return self._write(
            batch, self._known([(accounts[message.sender], message.client_id) for message in batch]), change
        )

    def ack(self, marks: Sequence[tuple[str, str, str, int]]) -> None:
        """Raise delivery watermarks: (user, device, conversation, seq), each key once. Those of conversations
        that the user does not have are passed over."""
        self._chunked(_ACKS, 4, [part for mark in marks for part in mark])

    def _write(self, batch: Sequence[NewMessage], known: Known, change: int) -> list[AppendResult]:
        results: list[AppendResult] = []
        flat: list[Value] = []
        moved: dict[int, Head] = {}
        self._touched.append(moved)
        heads, accounts = self._heads, self._accounts
        fresh: Known = {}
        held: list[tuple[Value, ...]] = []
        for message in batch:
            # Unpacked once, and results made without their constructor: the event loop waits meanwhile.
            (
                conversation, sender, client_id, digest, server_id, made_ms, type, payload, bits, expires_ms,
                cut, hold,
            ) = message  # fmt: skip
            head = heads.get(conversation)
            if head is None:
                results.append(MISSING)
                continue
            key = (accounts[sender], client_id)
            earlier = fresh.get(key) or known.get(key)
            if earlier is not None:
                results.append(repeated(earlier, head.conv, digest))
                continue
            seq = head.last_seq = head.last_seq + 1
            time_ms = head.last_time_ms = made_ms if made_ms > head.last_time_ms else head.last_time_ms
            conv = head.conv
            moved[conv] = head
            fresh[key] = (conv, digest, server_id, seq, time_ms)
            target = None if cut is None else self._target(message)
            flat += (
                conv, seq, key[0], client_id, digest, server_id, time_ms, type, bits, 0, expires_ms, target,
                payload,
            )  # fmt: skip
            results.append(_new(AppendResult, (_NEW, server_id, seq, time_ms)))
            if hold is not None:
                held.append((conv, seq, *held_row(hold, time_ms)))
        if held:
            self._conn.executemany(_HELD, held)
        if self._number_first and flat:
            width = len(_COLUMNS)
            if self._conn.execute(_FIRST, flat[:width]).fetchall():
                del flat[:width]
            self._number_first = False
        self._chunked(_INSERT, len(_COLUMNS), flat)
        ends: list[Value] = []
        for head in moved.values():
            ends += (head.conv, head.name, head.last_seq, head.last_time_ms, change)
        self._chunked(_HEADS, 5, ends)
        for name in self._made:
            self._unmake(name)
        return results

    def _chunked(self, statements: dict[int, str], width: int, flat: Sequence[Value]) -> list[Row]:
        answers: list[Row] = []
        at = 0
        for rows in _SIZES:
            step = rows * width
            while len(flat) - at >= step:
                answers += self._conn.execute(statements[rows], flat[at : at + step]).fetchall()
                at += step
        return answers

    def _known(self, keys: Sequence[Key]) -> Known:
        flat = [part for key in keys for part in key]
        return {(row[0], row[1]): row[2:] for row in self._chunked(_KNOWN, 2, flat)}

    def _resolve(self, batch: Sequence[NewMessage], change: int) -> None:
        heads, accounts = self._heads, self._accounts
        for conversation, sender, *_ in batch:
            if sender not in accounts:
                self._account(sender)
            if conversation not in heads:
                self._load_head(conversation, change)

    def _account(self, name: str) -> int:
        known = self._accounts.get(name)
        if known is None:
            self._conn.execute("INSERT INTO account (name) VALUES (?) ON CONFLICT DO NOTHING", (name,))
            known = int(self._conn.execute("SELECT id FROM account WHERE name = ?", (name,)).get)
            self._accounts[name] = known
            self._loaded_accounts.append(name)
        return known

    def _load_head(self, name: str, change: int) -> None:
        found = self._conn.execute(
            "SELECT id, last_seq, last_time_ms FROM conversation WHERE name = ?", (name,)
        ).fetchone()
        if name.startswith(GROUP_PREFIX):
            alive = (
                found
                and self._conn.execute(
                    "SELECT 1 FROM chat_group WHERE conv = ? AND dismissed_ms = 0", (found[0],)
                ).fetchone()
            )
            if not alive:
                return
        if found is None:
            self._conn.execute("INSERT INTO conversation (name, change) VALUES (?, ?)", (name, change))
            found = (self._conn.last_insert_rowid(), 0, 0)
            for user in people_of(name):
                self._conn.execute(_INBOX, (self._account(user), found[0], change))
            self._made.append(name)
        self._loaded_heads.append(name)
        self._heads[name] = Head(name, *found)

    def _unmake(self, name: str) -> None:
        """A conversation whose first message was refused has not begun."""
        head = self._heads[name]
        if not head.last_seq:
            self._conn.execute("DELETE FROM inbox WHERE conv = ?", (head.conv,))
            self._conn.execute("DELETE FROM conversation WHERE id = ?", (head.conv,))
            del self._heads[name]

    def _target(self, message: NewMessage) -> bytes:
        assert message.target is not None
        users, inclusive, later, about = message.target
        return pack_target([self._account(user) for user in users], inclusive, later, about)
