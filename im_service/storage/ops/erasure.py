"""Erasing an account: one page at a time, each in a transaction with the note of how far it is.

A page that was committed is never done again, and one that was not leaves nothing: whoever goes on, after a
kill -9 or in another process, begins at `step` and `place`, and what was counted is exact.
"""

from collections.abc import Callable
from typing import NamedTuple

import msgspec

from im_service.storage.errors import StoreConflict, StoreMissing
from im_service.storage.event_records import NewEvent
from im_service.storage.ops.erasure_pages import PAGES, Done, Tools
from im_service.storage.ops.erasure_steps import Erasure
from im_service.storage.ops.tx import Op, Row, emit, find_account, first, rows, run
from im_service.storage.records import FOREVER, AccountStage, AppendResult, NewMessage

_ERASURE = (
    "SELECT e.id, a.name, e.asked_ms, e.done_ms, e.step, e.place, e.counts, e.receipt"
    " FROM erasure e JOIN account a ON a.id = e.usr"
)
_counts = msgspec.json.Decoder(dict[str, int]).decode


class ErasedPage(NamedTuple):
    """After one page: where it stands, and what to tell whom."""

    erasure: Erasure
    names: list[str]
    """users or rooms that have less now; what they are depends on the step"""
    notices: list[NewMessage]
    results: list[AppendResult]
    gone: list[tuple[str, int, int]]
    """(conversation, server id, time) of messages of rooms"""


def _erasure(row: Row) -> Erasure:
    return Erasure._make((*row[:6], _counts(row[6]) if row[6] else {}, row[7]))


def begin(user: str, now_ms: int) -> Op[Erasure]:
    """The account is closed, and its erasure noted; else the one under way, or the last one."""
    usr = yield from find_account(user)
    if usr is None:
        raise StoreMissing(f"nobody knows {user}")
    yield from run(
        "INSERT INTO account_state (usr, updated_ms) VALUES ($1, $2) ON CONFLICT (usr) DO UPDATE SET"
        " updated_ms = excluded.updated_ms",
        usr, now_ms,
    )  # fmt: skip
    closed = yield from rows(
        f"UPDATE account_state SET state = {int(AccountStage.ERASING)}, disabled_ms = $1"
        f" WHERE usr = $2 AND state < {int(AccountStage.ERASING)} RETURNING usr",
        FOREVER, usr,
    )  # fmt: skip
    if closed:
        counted = yield from first("SELECT count(*) FROM group_member WHERE usr = $1", usr)
        counts = msgspec.json.encode({"groups": counted[0] if counted else 0})
        yield from run("INSERT INTO erasure (usr, asked_ms, counts) VALUES ($1, $2, $3)", usr, now_ms, counts)
    found = yield from first(f"{_ERASURE} WHERE e.usr = $1 ORDER BY e.id DESC LIMIT 1", usr)
    assert found is not None
    return _erasure(found)


def latest(user: str) -> Op[Erasure | None]:
    found = yield from first(
        f"{_ERASURE} WHERE e.usr = (SELECT id FROM account WHERE name = $1) ORDER BY e.id DESC LIMIT 1", user
    )
    return None if found is None else _erasure(found)


def listed(after: int, open_only: bool, limit: int) -> Op[list[Erasure]]:
    """By number."""
    which = " AND e.done_ms = 0" if open_only else ""
    found = yield from rows(f"{_ERASURE} WHERE e.id > $1{which} ORDER BY e.id LIMIT $2", after, limit)
    return [_erasure(row) for row in found]


def claim(holder: int, now_ms: int, lease_ms: int) -> Op[Erasure | None]:
    """One that nobody else works at is this process's until the lease ends; each page renews it."""
    found = yield from first(
        "SELECT id FROM erasure WHERE done_ms = 0 AND (holder = $1 OR until_ms <= $2)"
        " ORDER BY id LIMIT 1 HELD",
        holder, now_ms,
    )  # fmt: skip
    if found is None:
        return None
    yield from run(
        "UPDATE erasure SET holder = $1, until_ms = $2 WHERE id = $3", holder, now_ms + lease_ms, found[0]
    )
    row = yield from first(f"{_ERASURE} WHERE e.id = $1", found[0])
    assert row is not None
    return _erasure(row)


def _held(at: Erasure, holder: int) -> Op[int]:
    """The number of its user. StoreConflict: it went on elsewhere."""
    found = yield from first(
        "SELECT usr, step, place FROM erasure WHERE id = $1 AND holder = $2 AND done_ms = 0 HELD",
        at.id, holder,
    )  # fmt: skip
    if found is None or (found[1], found[2]) != (at.step, at.place):
        raise StoreConflict("this erasure goes on elsewhere")
    return int(found[0])


def page(at: Erasure, holder: int, now_ms: int, lease_ms: int, tools: Tools) -> Op[ErasedPage]:
    """The next page of its step. StoreConflict: another process did it."""
    usr = yield from _held(at, holder)
    work: Callable[[int, Erasure, int, Tools], Op[Done]] = PAGES[at.next]
    done = yield from work(usr, at, now_ms, tools)
    step, place = (at.step + 1, "") if done.place is None else (at.step, done.place)
    counts = dict(at.counts)
    for kind, count in done.counts.items():
        if count:
            counts[kind] = counts.get(kind, 0) + count
    yield from run(
        "UPDATE erasure SET step = $1, place = $2, counts = $3, until_ms = $4 WHERE id = $5",
        step, place, msgspec.json.encode(counts), now_ms + lease_ms, at.id,
    )  # fmt: skip
    after = at._replace(step=step, place=place, counts=counts)
    return ErasedPage(after, done.names, done.notices, done.results, done.gone)


def step_done(at: Erasure, holder: int, now_ms: int, lease_ms: int) -> Op[Erasure]:
    """A step that the service does itself is over."""
    yield from _held(at, holder)
    yield from run(
        "UPDATE erasure SET step = $1, place = '', until_ms = $2 WHERE id = $3",
        at.step + 1, now_ms + lease_ms, at.id,
    )  # fmt: skip
    return at._replace(step=at.step + 1, place="")


def finish(at: Erasure, holder: int, now_ms: int, event: NewEvent) -> Op[Erasure]:
    """The event and the receipt, which say the same, and the account is erased."""
    usr = yield from _held(at, holder)
    yield from run("UPDATE erasure SET done_ms = $1, receipt = $2 WHERE id = $3", now_ms, event.data, at.id)
    yield from run(
        f"UPDATE account_state SET state = {int(AccountStage.ERASED)}, created_ms = 0, updated_ms = $1"
        f" WHERE usr = $2 AND state = {int(AccountStage.ERASING)}",
        now_ms, usr,
    )  # fmt: skip
    yield from emit([event])
    return at._replace(done_ms=now_ms, receipt=event.data)
