"""The little language between an operation and the engine that runs it.

An operation is a generator. It yields commands, receives rows, returns its result and raises StoreError to
undo itself; it does no I/O, so the same text runs in SQLite's writer thread and on PostgreSQL's event loop.

SQL is the common subset of both engines: `$n` parameters, ON CONFLICT, RETURNING, CASE. Three macros cover
the rest: `IN_INTS($n)` and `IN_TEXTS($n)` test membership in a list parameter; `HELD` at the end of a SELECT
holds its rows against other writers until the transaction ends (SQLite has only one).
"""

import re
from collections.abc import Generator, Iterator, Sequence
from typing import Any, NamedTuple, TypeVar

from im_service.storage.errors import StoreMissing
from im_service.storage.event_records import NewEvent
from im_service.storage.records import AppendResult, AppendStatus, NewMessage

T = TypeVar("T")
Value = int | str | bytes | None
"""What a column holds."""
Argument = Value | list[int] | list[str]
Row = tuple[Any, ...]
"""What the engine hands over; an operation makes a record of it."""


class Sql(NamedTuple):
    text: str
    args: tuple[Argument, ...] = ()


class Append(NamedTuple):
    """Commit these messages in this transaction; answers one AppendResult row each."""

    batch: Sequence[NewMessage]


class NextChange(NamedTuple):
    """Answers [(number,)]: above every change number a reader could have seen, same within a transaction."""


class Horizon(NamedTuple):
    """Answers [(number,)]: no transaction can commit a change below it any more."""


class Emit(NamedTuple):
    """Commit these events of the durable copy in this transaction, behind everything that it wrote to the
    log so far. What they tell of is held by the transaction already: events of one subject stand in the
    order of their commits. Answers []."""

    events: Sequence[NewEvent]


class Ends(NamedTuple):
    """Answers [(number, number)]: the highest that were given to rows of the log and of the events."""


class Forget(NamedTuple):
    """A writer that caches conversations drops what it knows of this one. Answers []."""

    conversation: str


class DropKeys(NamedTuple):
    """These (sender, client_id) may be used again; for engines whose keys are a table. Answers []."""

    keys: Sequence[tuple[int, str]]


Command = Sql | Append | Emit | Ends | NextChange | Horizon | Forget | DropKeys
Op = Generator[Command, list[Row], T]

_PARAM = re.compile(r"\$(\d+)")
_MACRO = re.compile(r"IN_(INTS|TEXTS)\(\$(\d+)\)")
_HELD = " HELD"


def to_sqlite(text: str) -> str:
    text = _MACRO.sub(r"IN (SELECT value FROM json_each($\2))", text.removesuffix(_HELD))
    return _PARAM.sub(r"?\1", text)


def to_postgres(text: str) -> str:
    if text.endswith(_HELD):
        text = text.removesuffix(_HELD) + " FOR NO KEY UPDATE"
    return _MACRO.sub(lambda m: f"= ANY(${m[2]}::{'bigint' if m[1] == 'INTS' else 'text'}[])", text)


def rows(text: str, *args: Argument) -> Op[list[Row]]:
    return (yield Sql(text, args))


def first(text: str, *args: Argument) -> Op[Row | None]:
    found = yield Sql(text, args)
    return found[0] if found else None


def run(text: str, *args: Argument) -> Op[None]:
    yield Sql(text, args)


def given(**columns: Value) -> dict[str, Value]:
    """Columns to change: None leaves one as it is, truth values and roles are kept as numbers."""
    return {
        name: int(value) if isinstance(value, int) else value
        for name, value in columns.items()
        if value is not None
    }


def next_change() -> Op[int]:
    return int((yield NextChange())[0][0])


def append(batch: Sequence[NewMessage]) -> Op[list[AppendResult]]:
    """Notices of an operation. One whose group is gone undoes the operation: it would tell nobody."""
    if not batch:
        return []
    results = [AppendResult(*row) for row in (yield Append(batch))]
    if any(result.status == AppendStatus.MISSING for result in results):
        raise StoreMissing("a notice names a group that does not exist")
    return results


def emit(events: Sequence[NewEvent]) -> Op[None]:
    """Events of the durable copy, committed with the operation."""
    if events:
        yield Emit(events)


def account_id(name: str) -> Op[int]:
    """Number of this user, made when first named."""
    found = yield from first("SELECT id FROM account WHERE name = $1", name)
    if found is None:
        found = yield from first(
            "INSERT INTO account(name) VALUES ($1) ON CONFLICT(name) DO UPDATE SET name = excluded.name"
            " RETURNING id",
            name,
        )
    assert found is not None
    return int(found[0])


def account_ids(names: Sequence[str]) -> Op[dict[str, int]]:
    """Numbers of these users, made when first named."""
    wanted = sorted(set(names))
    known: dict[str, int] = dict((yield from known_accounts(wanted)))
    for part in chunks([name for name in wanted if name not in known]):
        values = ", ".join(f"(${at})" for at in range(1, len(part) + 1))
        known.update((yield from rows(
            f"INSERT INTO account(name) VALUES {values} ON CONFLICT(name) DO UPDATE SET name = excluded.name"
            " RETURNING name, id",
            *part,
        )))  # fmt: skip
    return known


def chunks(items: Sequence[T]) -> Iterator[Sequence[T]]:
    """Parts of 64, 32, ... 1: statements with one row per item come in few lengths, and stay prepared."""
    at, size = 0, 64
    while at < len(items):
        while size > len(items) - at:
            size //= 2
        yield items[at : at + size]
        at += size


def known_accounts(names: Sequence[str]) -> Op[list[Row]]:
    return (yield from rows("SELECT name, id FROM account WHERE name IN_TEXTS($1)", list(names)))


def find_account(name: str) -> Op[int | None]:
    found = yield from first("SELECT id FROM account WHERE name = $1", name)
    return None if found is None else int(found[0])


def find_conversation(name: str) -> Op[int | None]:
    found = yield from first("SELECT id FROM conversation WHERE name = $1", name)
    return None if found is None else int(found[0])


def conversation_id(name: str) -> Op[int]:
    found = yield from find_conversation(name)
    if found is None:
        raise StoreMissing(f"no conversation {name}")
    return found


def touch(conv: int) -> Op[int]:
    """Tell everybody in this conversation that something changed."""
    change = yield from next_change()
    yield from run("UPDATE conversation SET change = $1 WHERE id = $2", change, conv)
    return change
