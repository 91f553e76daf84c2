"""The durable copy of events for other systems: what is handed out, and how it is read.

The log is the outbox. Messages are read from it in the order of their commits, and what is not in the log
(logins, receipts, changes of rooms and accounts ...) from rows that were committed with their change. One
cursor goes through both. Whoever reads (the pull API, webhooks, JetStream, Kafka, vendor push) programs
against `EventLog`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol

Cursor = str
"""A place in the order of events, between two of them: opaque text of at most 64 characters from
[A-Za-z0-9_-], good in URLs. It outlives restarts, moves to another store, and backups that are put back."""


NOTE_BYTES = 16 << 10
"""Of what a reader keeps beside its cursor."""


class Event(NamedTuple):
    """Something that was committed."""

    event_id: str
    """The same for the same event however often it is read: consumers drop what they have by it."""
    kind: str
    """`message.single`, `message.recall`, `group.join`, `session.login` ...: docs/EVENTS.md."""
    time_ms: int
    subject: str
    """The key of order: events of one subject come in the order in which they happened. A conversation
    (`s/<a>:<b>`, `g/<group>`, `r/<room>`) or a user (`u/<user>`)."""
    env: str | None
    """What the sender's option `env` said: which of the app's servers it is for. None: the default one."""
    data: Mapping[str, object]
    """What JSON can carry."""
    cursor: Cursor
    """The place behind this event: handled up to here, go on from here."""


class EventPage(NamedTuple):
    events: Sequence[Event]
    next: Cursor
    """Where to go on: behind the last event, and behind whatever the filter left out after it."""
    more: bool
    """Something committed lies behind `next` already (it may not pass the filter)."""


class EventFilter(NamedTuple):
    """Which events a reader wants. Empty: all."""

    kinds: tuple[str, ...] = ()
    """Whole kinds (`message.single`) or all of a family (`message.*`)."""
    envs: tuple[str | None, ...] = ()
    """None among them: events that name no env."""

    def takes(self, kind: str, env: str | None) -> bool:
        if self.envs and env not in self.envs:
            return False
        if not self.kinds:
            return True
        return kind in self.kinds or f"{kind.partition('.')[0]}.*" in self.kinds


EVERYTHING = EventFilter()


class CursorInvalid(Exception):
    """Text that no cursor is."""


class CursorGone(Exception):
    """Between this cursor and the next event that is still there some were lost to its reader: they expired,
    or the store was put back from a copy. Reading goes on at `go_on`, which gives whatever is left."""

    def __init__(self, reason: str, go_on: Cursor) -> None:
        super().__init__(reason)
        self.reason = reason
        self.go_on = go_on


class CursorForeign(CursorGone):
    """The store never gave this cursor, or in a life that is over, beyond what is left of it."""


class GroupTaken(Exception):
    """The group was committed by somebody else meanwhile, or such a commit would go back."""


class Lag(NamedTuple):
    """How far a cursor is behind."""

    events: int
    """Committed and not passed, those that no filter takes too. Exact up to 10,000, about right above."""
    seconds: float
    """Age of the oldest of them, 0 when there is none."""


class ConsumerGroup(NamedTuple):
    """A name under which a cursor is kept in the store, and a note of its reader."""

    name: str
    cursor: Cursor
    revision: int
    """Grows with each commit: a commit that names one that is over is refused (`GroupTaken`)."""
    committed_ms: int
    note: bytes = b""
    """What its reader keeps for the next one; b"" in a list of groups."""


class EventLog(Protocol):
    """The committed events of one app, in one order. Readers are many, each with a cursor of its own, in
    any process. Promises:

    * An event is readable once its commit is durable, never before, and never if it was undone.
    * A reader that goes from page to page misses none, however many processes commit at the same time and
      however late: what is read twice comes from reading the same cursor twice.
    * Events of one subject come in the order in which they were committed.
    * Nothing here waits for readers: events expire by age and bytes. A reader that was too slow gets
      CursorGone.

    StoreUnavailable (im_service.storage.errors) may come from every call: try again later.
    """

    async def head(self) -> Cursor:
        """Behind the last event that can be read now."""

    async def first(self) -> Cursor:
        """Before the oldest event that is kept."""

    async def at_time(self, time_ms: int) -> Cursor:
        """A place before every event of this time or later; a few older ones may come, too. For replays."""

    async def read(self, after: Cursor, limit: int, wanted: EventFilter = EVERYTHING) -> EventPage:
        """Up to `limit` (1 to 1000) events after this place, fewer where they are large (about 1 MiB a
        page). The work of one call is bounded, so a page may be empty and have `more`. CursorInvalid,
        CursorGone."""

    async def wait(self, after: Cursor, timeout_s: float) -> bool:
        """Until there may be something behind this place, at most so long. At once where there is already.
        False: nothing came. Never raises for a cursor: `read` says what is wrong with it."""

    async def lag(self, after: Cursor) -> Lag:
        """CursorInvalid. A cursor that is gone counts from what is left."""

    async def group(self, name: str) -> ConsumerGroup | None:
        """None: nothing was committed under this name."""

    async def groups(self) -> list[ConsumerGroup]:
        """In order of name."""

    async def commit(
        self, name: str, cursor: Cursor, revision: int | None = None, note: bytes | None = None
    ) -> ConsumerGroup:
        """Keep this cursor, durably; the group is made if need be. `revision`: the one that the caller saw
        last (0 = there was none); GroupTaken when it is another one now. None: whoever comes last wins.
        Going back is allowed: that is a replay. `note`: of NOTE_BYTES at most, kept with it, None: as it
        was. CursorInvalid; StoreFull above the number of groups; ValueError for a note beyond its bound."""

    async def drop(self, name: str) -> bool:
        """Forget a group. False: there was none."""
