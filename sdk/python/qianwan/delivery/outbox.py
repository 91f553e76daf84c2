"""Messages on their way: bounded, sent again over reconnects with the same client id until the server has
answered.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Callable

import msgspec

from qianwan.connection.link import Link
from qianwan.constants import FrameType, RequestCode
from qianwan.errors import ClientClosed, ConnectionClosed, OutboxFull, ProtocolError
from qianwan.models import Ack
from qianwan.protocol.messages import Answer

MAX_RETRIES = 4
RETRY_S = 0.5
_TRANSIENT = frozenset({RequestCode.UNAVAILABLE, RequestCode.TIMEOUT})
_ack = msgspec.msgpack.Decoder(tuple[int, int, int])


def new_client_id() -> str:
    """24 characters: the time in milliseconds, then 48 random bits.

    The time comes first so that a sender's ids lie beside each other in the server's index: ids in random
    order dirty a page of it for each message.
    """
    return f"{time.time_ns() // 1_000_000:012x}{secrets.token_hex(6)}"


class Pending:
    """One unanswered message."""

    __slots__ = ("client_id", "future", "link", "payload", "retries", "sent_at", "target")

    def __init__(self, client_id: str, target: str, payload: bytes, future: asyncio.Future[Ack]) -> None:
        self.client_id = client_id
        self.target = target
        self.payload = payload
        self.future = future
        self.link: Link | None = None
        self.sent_at = 0.0
        self.retries = 0


class Outbox:
    """At most `limit` unanswered messages, in the order they were given."""

    def __init__(self, limit: int, ack_timeout_s: float, on_ack: Callable[[str, Ack], None]) -> None:
        self._limit = limit
        self._ack_timeout_s = ack_timeout_s
        self._on_ack = on_ack
        self._pending: dict[str, Pending] = {}
        self._link: Link | None = None
        self._loop = asyncio.get_running_loop()
        self._empty = asyncio.Event()
        self._empty.set()

    def __len__(self) -> int:
        return len(self._pending)

    def put(self, client_id: str, target: str, payload: bytes) -> asyncio.Future[Ack]:
        """Take a message; the future resolves with the server's answer. Raises OutboxFull."""
        known = self._pending.get(client_id)
        if known is not None and known.payload == payload and known.target == target:
            return known.future
        if len(self._pending) >= self._limit:
            raise OutboxFull(f"{self._limit} messages wait for their acknowledgement")
        pending = Pending(client_id, target, payload, self._loop.create_future())
        if known is not None:
            raise ValueError(f"client id {client_id!r} is in use for another message")
        self._pending[client_id] = pending
        self._empty.clear()
        if self._link is not None:
            self._transmit(pending)
        return pending.future

    def online(self, link: Link) -> None:
        """A logged-in connection: everything unanswered goes out again, in order."""
        self._link = link
        for pending in list(self._pending.values()):
            self._transmit(pending)

    def offline(self) -> None:
        self._link = None

    def overdue(self) -> None:
        """Send again what was not answered in time; the server tells repetitions apart by the client id."""
        now = self._loop.time()
        for pending in list(self._pending.values()):
            if self._link is not None and now - pending.sent_at >= self._ack_timeout_s:
                self._transmit(pending)

    def fail(self, reason: BaseException) -> None:
        """The end: nobody will answer any more."""
        for pending in self._pending.values():
            if not pending.future.done():
                error = ClientClosed("the client was closed before the message was acknowledged")
                error.__cause__ = reason
                pending.future.set_exception(error)
        self._pending.clear()
        self._empty.set()

    async def drained(self) -> None:
        """Wait until nothing is unanswered."""
        await self._empty.wait()

    def _transmit(self, pending: Pending) -> None:
        link = self._link
        if link is None or self._pending.get(pending.client_id) is not pending:
            return
        pending.link, pending.sent_at = link, self._loop.time()
        answer = link.request(FrameType.SEND, pending.target, pending.payload)
        answer.add_done_callback(lambda done: self._answered(pending, done))

    def _answered(self, pending: Pending, done: asyncio.Future[Answer]) -> None:
        if done.cancelled() or self._pending.get(pending.client_id) is not pending:
            return
        if isinstance(done.exception(), ConnectionClosed):
            return  # `online` sends it again over the next connection
        answer = done.result()
        if answer.code in _TRANSIENT and pending.retries < MAX_RETRIES:
            pending.retries += 1
            delay = answer.error().retry_after_s or RETRY_S * 2**pending.retries
            self._loop.call_later(delay, self._transmit, pending)
            return
        del self._pending[pending.client_id]
        if not self._pending:
            self._empty.set()
        if pending.future.cancelled():
            return
        if answer.code != RequestCode.OK:
            pending.future.set_exception(answer.error())
            return
        try:
            ack = Ack(*_ack.decode(answer.payload))
        except msgspec.MsgspecError:
            pending.future.set_exception(ProtocolError("a SEND_ACK cannot be read"))
            return
        self._on_ack(pending.target, ack)
        pending.future.set_result(ack)
