"""Records of the durable copy: events that are no messages, and the order in which both are read."""

from typing import NamedTuple

from im_service.storage.records import Aim


class NewEvent(NamedTuple):
    """Something that happened beside the log, committed in the transaction that made it true."""

    server_id: int  # of the same numbers as messages: what consumers tell repeats by
    time_ms: int
    kind: str
    subject: str  # key of order: a conversation, or u/<user>
    data: bytes  # JSON
    env: str = ""


class Place(NamedTuple):
    """How far a reader is: behind this row of the log and this row of the events. In the order of both, a
    row of events stands behind the row of the log that was the last one when it was written."""

    message: int
    event: int


class LogRow(NamedTuple):
    """A message as it is now, in the server's eye."""

    id: int
    conversation: str
    seq: int
    server_id: int
    time_ms: int
    sender: str
    client_id: str
    type: int
    payload: bytes
    bits: int
    flags: int
    expires_ms: int
    target: Aim | None


class EventRow(NamedTuple):
    id: int
    server_id: int
    time_ms: int
    kind: str
    subject: str
    env: str
    data: bytes


class Entry(NamedTuple):
    """A message or an event, and the place behind it."""

    row: LogRow | EventRow
    behind: Place


class Life(NamedTuple):
    """An incarnation of the store, and the place up to which it took over what was before it."""

    id: bytes
    took_over: Place


class EventState(NamedTuple):
    """What cursors are judged by. All places only rise within a life."""

    lives: list[Life]  # oldest first
    ends: Place  # the highest numbers that were given
    gone: Place  # the highest numbers whose rows expired


class Events(NamedTuple):
    """A stretch of the common order, and the state of one snapshot with it."""

    entries: list[Entry]
    next: Place
    more: bool
    state: EventState


class GroupRow(NamedTuple):
    """A cursor that is kept under a name. `note`: b"" in a list of all."""

    name: str
    cursor: str
    revision: int
    committed_ms: int
    note: bytes = b""


class Volume(NamedTuple):
    """What the rows of events take, newest first, up to a bound."""

    rows: int
    size: int  # bytes of their data and names, about
    cut: int  # the newest row beyond the bound, 0 = all are within it
