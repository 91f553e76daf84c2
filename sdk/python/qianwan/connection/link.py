"""One connection: handshake, login, requests and their answers, heartbeat, frame acks. It never
reconnects.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import random
import ssl
import time
from typing import Any, Protocol

import msgspec

from qianwan import constants as c
from qianwan.connection.heartbeat import Beat, Heartbeat
from qianwan.connection.policy import Policy
from qianwan.connection.vitals import Vitals
from qianwan.constants import CloseCode, DeathCause, FrameType
from qianwan.errors import (
    ConnectionClosed,
    HandshakeRejected,
    ProtocolError,
    QianwanError,
    SettingError,
)
from qianwan.models import Message, decode_message
from qianwan.protocol import auth, messages, tickets
from qianwan.protocol.frames import Frame
from qianwan.protocol.tickets import NotResumed, Offer, Resumed, Ticket
from qianwan.protocol.wire import State, Wire
from qianwan.transport import USUAL_SOCKETS, Address, SocketOptions, Stream, open_stream

_RECORD_OVERHEAD = 2 + 32

log = logging.getLogger("qianwan")


class LinkOwner(Protocol):
    """Who is told what the server says. Called in the order of the bytes; must not block."""

    def on_message(self, message: Message) -> None: ...

    def on_event(self, kind: int, payload: bytes) -> None: ...

    def on_policy(self, policy: dict[str, Any]) -> None: ...

    def on_ticket(self, link: Link, ticket: Ticket) -> None:
        """Perhaps before the connection is known to be logged in."""


class Link:
    """A connection to one gateway. `closed` resolves with the reason; `leaving` with a GOAWAY, if one
    comes.
    """

    def __init__(
        self,
        wire: Wire,
        owner: LinkOwner,
        rng: random.Random,
        offer: Offer | None = None,
        vitals: Vitals | None = None,
    ) -> None:
        loop = asyncio.get_running_loop()
        self._vitals = vitals or Vitals(Policy(), rng, clock=loop.time, wall=time.time)
        self._loop = loop
        self._wire = wire
        self._owner = owner
        self._stream: Stream | None = None
        self._handshake: asyncio.Future[None] = loop.create_future()
        self._welcome: asyncio.Future[auth.Welcome] = loop.create_future()
        self._resumed: asyncio.Future[Resumed | NotResumed] = loop.create_future()
        self.offer = offer
        self._held: list[Frame] | None = None if offer is None or offer.seen is None else []
        """what comes before this is the one of several connections that takes the session up"""
        self.ticket: Ticket | None = None
        """the newest that came here"""
        self._answers: dict[int, tuple[float, asyncio.Future[messages.Answer]]] = {}
        self._request = 0
        self._beat: Heartbeat | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._ack_timer: asyncio.TimerHandle | None = None
        self._flush_due = False
        self.address: Address | None = None
        self.closed: asyncio.Future[ConnectionClosed] = loop.create_future()
        self.leaving: asyncio.Future[messages.GoAway] = loop.create_future()
        self.policy_rev = 0

    # opening

    async def open(
        self,
        address: Address,
        tls: ssl.SSLContext | None = None,
        *,
        known: bool = False,
        options: SocketOptions = USUAL_SOCKETS,
    ) -> None:
        """Connect and shake hands. Raises OSError, ProtocolError, HandshakeRejected or ConnectionClosed."""
        self.address = address
        try:
            self._stream = await open_stream(address, self, tls, known=known, options=options)
            payload = b"" if self.offer is None else self.offer.payload(self._loop.time())
            self._stream.write(self._wire.start(payload))
            await self._handshake
        except BaseException:
            self.abort()
            raise

    async def login(self, credentials: auth.Credentials, *, tickets: bool = True) -> auth.Welcome:
        """Send AUTH, wait for AUTH_OK. Without `tickets` the session ends with this connection. Raises
        ConnectionClosed with the server's reason."""
        extras: dict[str, object] | None = None if tickets else {"tickets": False}
        body = auth.auth_body(credentials, self._wire.handshake_hash, extras)
        if len(body) + _RECORD_OVERHEAD + 4 > c.PREAUTH_MAX_RECORD:
            raise SettingError("the token is too long for a login record")
        return await self._log_in(body)

    async def login_by_ticket(self, offer: Offer, device_id: str, platform: int) -> auth.Welcome:
        """The same without a token, on a connection that was opened with this offer."""
        handshake_hash = self._wire.handshake_hash
        return await self._log_in(tickets.auth_body(offer.ticket, handshake_hash, device_id, platform))

    async def resume(self, welcome: auth.Welcome) -> Resumed | NotResumed:
        """Take up the session that had this welcome. What it missed is told to the owner as it comes, from
        here on. Raises ConnectionClosed."""
        self.write(FrameType.ACK)  # the session moves here when it is read
        held, self._held = self._held, None
        if self.alive:
            self._take_all(held or [])
        resumed = await self._resumed
        if isinstance(resumed, Resumed):
            self._live(welcome, resumed=True)
        return resumed

    async def _log_in(self, body: bytes) -> auth.Welcome:
        self.write(FrameType.AUTH, body)
        welcome = await self._welcome
        self._live(welcome)
        return welcome

    def _live(self, welcome: auth.Welcome, *, resumed: bool = False) -> None:
        self.policy_rev = welcome.policy_rev
        proxied = self.address is not None and self.address.transport != "tcp"
        self._beat = self._vitals.begin(welcome.ping_interval_s, proxied=proxied, resumed=resumed)
        self._arm()

    @property
    def node(self) -> str:
        return self._wire.node

    @property
    def suite(self) -> int:
        return self._wire.suite

    @property
    def received(self) -> int:
        """MSG frames of the session, so far."""
        return self._wire.received

    @property
    def alive(self) -> bool:
        return not self.closed.done()

    # sending

    def write(self, kind: int, body: bytes = b"") -> None:
        """Queue a frame; everything queued in one turn of the loop shares records and one system call."""
        self._wire.write(kind, body)
        if not self._flush_due:
            self._flush_due = True
            self._loop.call_soon(self.flush)

    def flush(self) -> None:
        self._flush_due = False
        if self._stream is None or self._wire.state is not State.OPEN:
            return
        now = self._loop.time()
        data = self._wire.flush(now)
        if data:
            self._stream.write(data)
            if self._beat is not None:
                self._beat.wrote(now)

    def request(self, kind: int, name: str, payload: bytes) -> asyncio.Future[messages.Answer]:
        """SEND or CALL; the future fails with ConnectionClosed when the connection ends first. Who cancels
        it waits no longer. Raises TooBig or ValueError for what cannot be written."""
        future: asyncio.Future[messages.Answer] = self._loop.create_future()
        if self.closed.done():
            future.set_exception(self.closed.result())
            return future
        number = self._request + 1
        body = messages.request_body(number, name, payload)
        self._request = number
        self._answers[number] = (self._loop.time(), future)
        future.add_done_callback(lambda _: self._answers.pop(number, None))
        self.write(kind, body)
        if len(self._answers) == 1:
            self._arm()
        return future

    def _oldest(self) -> float | None:
        """When the request was written that has been unanswered for longest."""
        return next((asked for asked, _ in self._answers.values()), None)

    def ping(self) -> None:
        if self._beat is not None and self.alive:
            self.write(FrameType.PING, self._beat.pinged(self._loop.time()))
            self.flush()
            self._arm()

    def beats_anew(self) -> None:
        """The interval is another one now."""
        self._arm()

    def close(self, code: int = CloseCode.NORMAL, text: str = "") -> None:
        """Say CLOSE and close the stream when it is sent."""
        if self.closed.done():
            return
        self._say_close(code, text)
        self._end(ConnectionClosed(code, text), DeathCause.CLOSED_HERE)

    def _say_close(self, code: int, text: str = "") -> None:
        if self._stream is not None:
            if self._wire.handshake_hash:
                self._wire.write(FrameType.CLOSE, messages.close_body(code, text))
                self._stream.write(self._wire.flush(self._loop.time()))
            self._stream.close()

    def abort(self, cause: DeathCause = DeathCause.CLOSED_HERE, text: str = "aborted") -> None:
        self._end(ConnectionClosed(0, text), cause)
        if self._stream is not None:
            self._stream.abort()

    # receiving

    def stream_data(self, data: bytes) -> None:
        if self.closed.done():
            return
        if self._beat is not None:
            self._beat.read(self._loop.time())
        self._take_all(None, data)
        due = self._wire.received - self._wire.acked
        if self._held is not None or not self.alive:
            return
        if due >= self._vitals.policy.ack_messages:
            self.write(FrameType.ACK)
        elif due and self._ack_timer is None:
            self._ack_timer = self._loop.call_later(self._vitals.policy.ack_delay_ms / 1000, self._ack_late)

    def _take_all(self, frames: list[Frame] | None, data: bytes = b"") -> None:
        """These frames, or those that this data completes; what is wrong with them ends the connection."""
        try:
            if frames is None:
                frames = self._wire.feed(data)
                if self._wire.state is State.OPEN and not self._handshake.done():
                    self._handshake.set_result(None)
            if self._held is not None:
                self._held += frames
                return
            for frame in frames:
                self._take(frame)
        except HandshakeRejected as rejected:
            self._fail(rejected)
        except ProtocolError as error:
            log.warning("closing the connection: %s", error)
            self._say_close(CloseCode.PROTOCOL_ERROR)
            self._fail(error)
        except Exception as error:  # a fault of this package costs the connection, not the client
            log.exception("what the server says cannot be handled")
            self._say_close(CloseCode.NORMAL)
            self._fail(error)

    def stream_closed(self, error: Exception | None) -> None:
        self._fail(error)

    def _take(self, frame: Frame) -> None:
        kind, body = frame.type, frame.body
        if kind == FrameType.MSG:
            self._owner.on_message(_message(body))
        elif kind == FrameType.EVENT:
            if not body:
                raise ProtocolError("an EVENT without a kind")
            self._owner.on_event(body[0], body[1:])
        elif kind in (FrameType.SEND_ACK, FrameType.RETURN):
            answer = messages.parse_answer(body)
            _, future = self._answers.pop(answer.request, (0.0, None))
            if future is not None and not future.done():
                future.set_result(answer)
        elif kind == FrameType.PONG:
            if self._beat is not None:
                self._vitals.ponged(self._beat, self._loop.time())
                self._arm()
        elif kind == FrameType.PING:
            self.write(FrameType.ACK)
        elif kind == FrameType.AUTH_OK:
            if not self._welcome.done():
                self._welcome.set_result(auth.parse_welcome(body))
        elif kind == FrameType.TICKET:
            ticket = tickets.parse_ticket(body, self._loop.time())
            if self._vitals.policy.resume:
                self.ticket = ticket
                self._owner.on_ticket(self, ticket)
        elif kind == FrameType.RESUME_OK:
            self._resume_told(tickets.parse_resumed(body))
        elif kind == FrameType.RESUME_FAIL:
            self._resume_told(tickets.parse_not_resumed(body))
        elif kind == FrameType.POLICY:
            self._take_policy(messages.decode(body))
        elif kind == FrameType.GOAWAY:
            if not self.leaving.done():
                self.leaving.set_result(messages.parse_goaway(body))
        elif kind == FrameType.CLOSE:
            self._end(messages.parse_close(body), DeathCause.CLOSED_THERE)
            if self._stream is not None:
                self._stream.close()
        elif kind == FrameType.ERROR:
            log.warning("the server says: %s", messages.parse_close(body))

    def _resume_told(self, told: Resumed | NotResumed) -> None:
        seen = None if self.offer is None else self.offer.seen
        if seen is None or self._resumed.done():
            raise ProtocolError("the server takes up what was not asked for")
        if isinstance(told, Resumed) and told.first != seen + 1:
            raise ProtocolError("the server goes on at another message than was asked for")
        self._resumed.set_result(told)

    def _take_policy(self, policy: Any) -> None:
        if not isinstance(policy, dict):
            raise ProtocolError("a POLICY is a map")
        self._vitals.obey(policy)
        if not self._vitals.policy.resume:
            self.ticket = None
        self._arm()
        self._owner.on_policy(policy)

    # timers

    def _ack_late(self) -> None:
        self._ack_timer = None
        if self._wire.received > self._wire.acked and self.alive:
            self.write(FrameType.ACK)

    def _arm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        if self._beat is not None and self.alive:
            self._timer = self._loop.call_at(self._beat.next_check(self._oldest()), self._check)

    def _check(self) -> None:
        if self._beat is None:
            return
        verdict = self._beat.check(self._loop.time(), self._oldest())
        if verdict is Beat.PING:
            self.ping()
        elif verdict is Beat.DEAD:
            self.abort(DeathCause.PONG_TIMEOUT, "no pong")
        else:
            self._arm()

    # the end

    def _fail(self, error: Exception | None) -> None:
        reason = ConnectionClosed(0, str(error) if error else "the stream ended")
        reason.__cause__ = error
        if isinstance(error, QianwanError) and not self._handshake.done():
            self._handshake.set_exception(error)
        self._end(reason, _cause(error))

    def _end(self, reason: ConnectionClosed, cause: DeathCause) -> None:
        if self.closed.done():
            return
        if self._beat is not None:
            self._vitals.ended(self._beat, cause)
        self.closed.set_result(reason)
        for timer in (self._timer, self._ack_timer):
            if timer is not None:
                timer.cancel()
        waiting: list[asyncio.Future[Any]] = [self._handshake, self._welcome, self._resumed]
        waiting += [future for _, future in self._answers.values()]
        self._answers = {}
        for future in waiting:
            if not future.done():
                future.set_exception(reason)
                future.exception()  # whoever awaits it still gets it; nobody awaiting is no fault


def _cause(error: Exception | None) -> DeathCause:
    """What the end of a stream means."""
    if error is None:
        return DeathCause.END_OF_STREAM
    if isinstance(error, (ConnectionResetError, BrokenPipeError)):
        return DeathCause.RESET
    silent = isinstance(error, OSError) and error.errno == errno.ETIMEDOUT
    return DeathCause.PONG_TIMEOUT if silent else DeathCause.UNKNOWN


def _message(body: bytes) -> Message:
    try:
        return decode_message(body)
    except msgspec.MsgspecError as error:
        raise ProtocolError("a MSG body is not a Message") from error
