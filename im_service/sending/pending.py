"""A send between its checks and its commit, and how it is answered."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

import msgspec

from frame.constants import FrameType
from im_service.errors import Detail, refusal
from im_service.live.route import Route
from im_service.live.users import SessionState
from im_service.models import encode, message_bytes
from im_service.options import BY_SERVER, Resolved
from im_service.outbox.unfinished import Unfinished
from im_service.ports import Clock
from im_service.sending.admission import SILENTLY_BLOCKED, WAITING
from im_service.sending.hooks import Verdict
from im_service.sending.publish_batch import PublishBatch
from im_service.settings import ImSettings
from im_service.storage.records import BADGE, HELD, RECEIVER_NO_SENSE, Hold, NewMessage

Answer = Callable[[int, bytes], None]
"""Takes (code, payload) of a send that no connection waits for."""
SEND_ACK = int(FrameType.SEND_ACK)
BLOCKED_TEXT = "the receiver does not take messages from you"


class Pending(msgspec.Struct):
    """A send between its checks and its commit. No `state`: it came over HTTP, and `answer` is told."""

    route: Route
    client_id: str
    type: int
    payload: bytes
    options: Resolved
    verdict: int
    state: SessionState | None = None
    request: int = 0
    receivers: Sequence[str] | None = None
    answer: Answer | None = None
    holds: Verdict | None = None

    @property
    def bits(self) -> int:
        """Of its row: whoever is not to know of it is not told or counted, and reports no receipt, though its
        sender sees how many have not."""
        bits = self.options.bits if self.state is not None else self.options.bits | BY_SERVER
        if not self.verdict:
            return bits
        bits = (bits | RECEIVER_NO_SENSE) & ~BADGE
        return bits | HELD if self.verdict == WAITING else bits


class Unkept(NamedTuple):
    """A checked send that gets no row."""

    entry: Pending
    server_id: int
    time_ms: int


def wire(entry: Pending, seq: int, server_id: int, time_ms: int) -> bytes:
    """A send as its receivers get it."""
    route = entry.route
    return message_bytes(
        route.conversation, seq, server_id, time_ms, route.sender, entry.client_id, entry.type, entry.payload
    )


class AfterCommit(Protocol):
    """What follows a committed message beside its delivery: pushes (push/decide.py), questions about media
    (engines/media.py)."""

    unfinished: Unfinished

    def offer(self, entry: Pending, server_id: int, message: bytes) -> None:
        """One committed message and its server id. Neither waits nor fails."""


class Work:
    """What one batch accumulates: rows for one append, and what can go out at once."""

    __slots__ = ("now", "out", "pending", "rows", "tick", "unkept")

    def __init__(self, clock: Clock) -> None:
        self.now = clock.now_ms()
        self.tick = clock.elapsed_ms()
        self.rows: list[NewMessage] = []
        self.pending: list[Pending] = []
        self.unkept: list[Unkept] = []
        self.out = PublishBatch()


def answer(out: PublishBatch, entry: Pending, code: int, payload: bytes) -> None:
    if entry.answer is not None:
        entry.answer(code, payload)
    elif entry.state is not None:
        out.reply(entry.state.session, SEND_ACK, entry.request, code, payload)


def accept(out: PublishBatch, entry: Pending, server_id: int, seq: int, time_ms: int) -> None:
    """[server_id, seq, time_ms], or what a blacklisted sender is told."""
    if entry.verdict <= SILENTLY_BLOCKED:
        answer(out, entry, 0, encode((server_id, seq, time_ms)))
        return
    detail: Detail = {"server_id": server_id, "seq": seq, "time_ms": time_ms}
    answer(out, entry, entry.verdict, refusal(BLOCKED_TEXT, detail))


def hold_of(settings: ImSettings, holds: Verdict, released: int, now_ms: int) -> Hold:
    """When a held row is decided if nobody does, and the bits it has once it is `released`."""
    wait_ms = settings.hold_ms if holds.hold_s is None else holds.hold_s * 1000
    lapse = settings.hold_default == "release" if holds.lapse is None else holds.lapse
    return Hold(now_ms + wait_ms if wait_ms else 0, lapse, holds.rule, released)
