"""Messages on their way: bounded, in order for each target, sent again over reconnects and refusals with the
same client id until the server has answered.

Each target has a lane. The first `window` messages of a lane are with the server, later ones wait behind them
(one is the only number that keeps the order whatever is answered). An answer of 503 or 504 keeps the message
at the head of its lane: it is sent again, later and later, until the lane has been refused for `patience_s`.
Other lanes go on meanwhile. A room of which the service forgot that this client is in it (13001) is entered
again before the lane goes on.
"""

from __future__ import annotations

import asyncio
import dataclasses
import functools
import logging
import random
import secrets
import time
from collections.abc import Awaitable, Callable
from itertools import islice

import msgspec

from qianwan.connection.link import Link
from qianwan.constants import FrameType, RequestCode
from qianwan.delivery.journal import OutboxStore, Unsent
from qianwan.errors import (
    ClientClosed,
    ConnectionClosed,
    OutboxFull,
    ProtocolError,
    QianwanError,
    RequestError,
    RequestTimeout,
)
from qianwan.models import Ack, Notice
from qianwan.protocol import messages
from qianwan.protocol.messages import Answer
from qianwan.tasks import Tasks

log = logging.getLogger("qianwan")
RETRY_S = 0.5
MAX_RETRY_S = 8.0
_TRANSIENT = frozenset({RequestCode.UNAVAILABLE, RequestCode.TIMEOUT})
_ack = msgspec.msgpack.Decoder(tuple[int, int, int])


def new_client_id() -> str:
    """24 characters: the time in milliseconds, then 48 random bits.

    The time comes first so that a sender's ids lie beside each other in the server's index: ids in random
    order dirty a page of it for each message.
    """
    return f"{time.time_ns() // 1_000_000:012x}{secrets.token_hex(6)}"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class OutboxLimits:
    """`pending` unanswered messages in all; `window` of one target with the server at once; seconds until
    an answer is overdue, until a refusing service is given up, and at most believed of a retry-after."""

    pending: int = 1000
    window: int = 1
    overdue_s: float = 20.0
    patience_s: float = 300.0
    believe_s: float = 300.0


class Pending:
    """One unanswered message. `answer` is what its last try waits for; `uncertain`: some try went without
    an answer, so that it may be stored whatever is answered to the next."""

    __slots__ = ("answer", "client_id", "future", "mended", "payload", "sent_at", "target", "uncertain")

    def __init__(self, client_id: str, target: str, payload: bytes, future: asyncio.Future[Ack]) -> None:
        self.client_id = client_id
        self.target = target
        self.payload = payload
        self.future = future
        self.answer: asyncio.Future[Answer] | None = None
        self.sent_at = 0.0
        self.mended = False
        self.uncertain = False


class _Lane:
    """The unanswered messages of one target, in order."""

    def __init__(self) -> None:
        self.messages: dict[str, Pending] = {}
        self.pause: asyncio.TimerHandle | None = None
        self.mending = False
        self.refused_since: float | None = None
        self.refusals = 0


class Outbox:
    """Everything that was sent and not yet answered. `on_ack` hears each message that is stored; `enter`
    enters a room again and says whether this client belongs into it, or raises RequestError or
    ConnectionClosed.
    """

    def __init__(
        self,
        limits: OutboxLimits,
        rng: random.Random,
        on_ack: Callable[[str, Ack], None],
        enter: Callable[[str], Awaitable[bool]],
        store: OutboxStore | None = None,
    ) -> None:
        self._store = store
        self._restored = store is None
        self.user = ""
        self._limits = limits
        self._rng = rng
        self._on_ack = on_ack
        self._enter = enter
        self._tasks = Tasks()
        self._lanes: dict[str, _Lane] = {}
        self._pending: dict[str, Pending] = {}
        self._link: Link | None = None
        self._loop = asyncio.get_running_loop()
        self._empty = asyncio.Event()
        self._empty.set()

    def __len__(self) -> int:
        return len(self._pending)

    def put(self, client_id: str, target: str, payload: bytes) -> asyncio.Future[Ack]:
        """Take a message; the future resolves with the server's answer. Raises OutboxFull, TooBig,
        ValueError for a target or client id that cannot be, or what the store raises."""
        known = self._pending.get(client_id)
        if known is not None:
            if known.payload == payload and known.target == target:
                return known.future
            raise ValueError(f"client id {client_id!r} is in use for another message")
        messages.check_request(target, payload)
        if len(self._pending) >= self._limits.pending:
            raise OutboxFull(f"{self._limits.pending} messages wait for their acknowledgement")
        if self._store is not None:
            self._store.keep(Unsent(self.user, client_id, target, payload))
        pending = Pending(client_id, target, payload, self._loop.create_future())
        self._pending[client_id] = pending
        lane = self._lanes.setdefault(target, _Lane())
        lane.messages[client_id] = pending
        self._empty.clear()
        self._pump(lane)
        return pending.future

    def restore(self, user: str, tell: Callable[[Notice], None]) -> None:
        """Who is logged in is known: what earlier runs of this user left goes out, and its outcome is told
        as a notice, `sent` or `unsent`, since nobody waits for it."""
        self.user = user
        if self._restored or self._store is None:
            return
        self._restored = True
        for left in self._store.load():
            if left.user not in ("", user):
                log.warning("a message to %s stays in the outbox: it is of %s", left.target, left.user)
                continue
            try:
                future = self.put(left.client_id, left.target, left.payload)
            except QianwanError as error:
                log.warning("a message to %s stays in the outbox: %s", left.target, error)
                continue
            future.add_done_callback(functools.partial(_tell, tell, left))

    def online(self, link: Link) -> None:
        """A logged-in connection: everything unanswered goes out again, in order."""
        self.offline()
        self._link = link
        for lane in list(self._lanes.values()):
            lane.refused_since = None  # by the one before
            self._pump(lane)

    def offline(self) -> None:
        """The connection is gone, or another takes its place."""
        self._link = None
        for pending in self._pending.values():
            self._unanswered(pending)

    def overdue(self) -> None:
        """Send again what was not answered in time; the server tells repetitions apart by the client id."""
        late = self._loop.time() - self._limits.overdue_s
        for lane in list(self._lanes.values()):
            for pending in islice(lane.messages.values(), self._limits.window):
                if pending.answer is not None and pending.sent_at <= late:
                    self._unanswered(pending)
            self._pump(lane)

    def fail(self, reason: BaseException) -> None:
        """The end: nobody will answer any more. What the store keeps is for the next run."""
        if self._store is not None:
            self._store.close()
        self._tasks.cancel()
        for lane in self._lanes.values():
            if lane.pause is not None:
                lane.pause.cancel()
        for pending in self._pending.values():
            if not pending.future.done():
                error = ClientClosed("the client was closed before the message was acknowledged")
                error.__cause__ = reason
                pending.future.set_exception(error)
                pending.future.exception()  # whoever awaits it still gets it
        self._pending.clear()
        self._lanes.clear()
        self._empty.set()

    async def drained(self) -> None:
        """Wait until nothing is unanswered."""
        await self._empty.wait()

    def _unanswered(self, pending: Pending) -> None:
        if pending.answer is not None:
            answer, pending.answer = pending.answer, None
            pending.uncertain = True
            answer.cancel()

    def _pump(self, lane: _Lane) -> None:
        """Hand to the server what its window lets in."""
        link = self._link
        if link is None or not link.alive or lane.pause is not None or lane.mending:
            return
        for pending in islice(lane.messages.values(), self._limits.window):
            if pending.answer is None:
                pending.sent_at = self._loop.time()
                pending.answer = link.request(FrameType.SEND, pending.target, pending.payload)
                pending.answer.add_done_callback(functools.partial(self._answered, pending))

    def _answered(self, pending: Pending, done: asyncio.Future[Answer]) -> None:
        if pending.answer is not done:
            return  # given up meanwhile
        if isinstance(done.exception(), ConnectionClosed):
            self._unanswered(pending)  # `online` sends it again over the next connection
            return
        pending.answer = None
        answer, lane = done.result(), self._lanes[pending.target]
        if answer.code == RequestCode.NOT_IN_ROOM and not pending.mended:
            pending.mended = lane.mending = True
            self._tasks.spawn(self._mend(lane, pending, answer))
        elif answer.code not in _TRANSIENT:
            lane.refused_since, lane.refusals = None, 0
            self._finish(lane, pending, self._verdict(pending, answer))
        else:
            pending.uncertain |= answer.code == RequestCode.TIMEOUT
            if not self._wait(lane, answer):
                self._finish(lane, pending, self._verdict(pending, answer))

    async def _mend(self, lane: _Lane, pending: Pending, answer: Answer) -> None:
        """Enter the room again, then go on where the lane stands."""
        outcome: Ack | Exception | None = None
        try:
            if not await self._enter(pending.target[2:]):
                outcome = answer.error()
        except RequestError as refused:
            outcome = refused
        except ConnectionClosed:
            pending.mended = False
        finally:
            lane.mending = False
        if outcome is not None:
            self._finish(lane, pending, outcome)
        else:
            self._pump(lane)

    def _finish(self, lane: _Lane, pending: Pending, outcome: Ack | Exception) -> None:
        """The answer is final: the next one's turn, and the caller is told."""
        if self._pending.pop(pending.client_id, None) is None:
            return
        if self._store is not None:
            self._store.done(pending.client_id)
        del lane.messages[pending.client_id]
        self._pump(lane)
        if not lane.messages:
            del self._lanes[pending.target]
        if not self._pending:
            self._empty.set()
        if pending.future.done():
            return
        if isinstance(outcome, Ack):
            pending.future.set_result(outcome)
            self._on_ack(pending.target, outcome)
        else:
            pending.future.set_exception(outcome)

    def _wait(self, lane: _Lane, answer: Answer) -> bool:
        """Pause a lane that was refused; False when it has been refused for too long."""
        now = self._loop.time()
        if lane.refused_since is None:
            lane.refused_since = now
        if now - lane.refused_since >= self._limits.patience_s:
            return False
        if lane.pause is None:
            delay = min(MAX_RETRY_S, RETRY_S * 2**lane.refusals) * self._rng.uniform(0.5, 1)
            lane.refusals = min(lane.refusals + 1, 16)
            asked = min(answer.error().retry_after_s, self._limits.believe_s)
            lane.pause = self._loop.call_later(max(delay, asked), self._resume, lane)
        return True

    def _resume(self, lane: _Lane) -> None:
        lane.pause = None
        self._pump(lane)

    def _verdict(self, pending: Pending, answer: Answer) -> Ack | Exception:
        """What the caller is told."""
        if answer.code in _TRANSIENT and pending.uncertain:
            text = f"{pending.target}: not answered in time, it may be stored or not"
            return RequestTimeout(RequestCode.TIMEOUT, text)
        if answer.code != RequestCode.OK:
            return answer.error()
        try:
            return Ack(*_ack.decode(answer.payload))
        except msgspec.MsgspecError:
            return ProtocolError("a SEND_ACK cannot be read")


def _tell(tell: Callable[[Notice], None], left: Unsent, done: asyncio.Future[Ack]) -> None:
    """What became of a message of an earlier run."""
    about: dict[str, object] = {"client_id": left.client_id, "target": left.target}
    error = None if done.cancelled() else done.exception()
    if isinstance(error, ClientClosed) or done.cancelled():
        return  # it waits for the run after this one
    if error is None:
        tell(Notice("sent", about | {"seq": done.result().seq}))
    else:
        tell(Notice("unsent", about | {"error": str(error)}))
