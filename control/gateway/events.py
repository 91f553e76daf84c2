"""One gateway and its Python thread: events out of the core in batches, logins checked, the rest to the
service.

core --eventfd--> take_events --+-- EV_AUTH    check token and binding, gw.login, im.on_login
                                +-- EV_SEND    collected, one im.on_sends per wake
                                +-- EV_CALL    im.on_call, after the sends before it
                                +-- EV_CLOSED  im.on_logout
                                +-- EV_TOPIC   first/last local member -> topics (several processes only)
                                +-- EV_SESSION told because somebody asked (several processes only)
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import msgspec

from control.auth.login import LoginRefused, check_login
from control.auth.tokens import TokenVerifier
from control.gateway.core import Core, EventCodes, MessageService
from control.gateway.resync import Told
from control.gateway.session_ids import SessionIds
from control.logs import get_logger
from im_service.ports import Session

log = get_logger("gateway")
# A NamedTuple made without its constructor: a third of the cost, once per message.
_tuple = tuple.__new__
_encode = msgspec.msgpack.Encoder().encode
# Each wake-up costs this thread and the loops it answers 20 to 40 us. From this rate on (over COUNT_S),
# events wait up to TURN_S (the grain of the event loop's timers) and share one.
BUSY_PER_S = 3000
COUNT_S = 0.01
TURN_S = 0.001


class GatewayNode:
    """Joins one core with the message service. All methods run on the event loop thread."""

    def __init__(
        self,
        core: Core,
        codes: EventCodes,
        verifier: TokenVerifier,
        service: MessageService,
        node_id: int,
        node_name: str,
        ping_interval_s: int = 240,
        events_per_wake: int = 2048,
        on_topic: Callable[[str, int, bool], None] | None = None,
        on_session: Callable[[Told], None] | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._core = core
        self._codes = codes
        self._verifier = verifier
        self._service = service
        self._node_id = node_id
        self._node_name = node_name
        self._ping_interval_s = ping_interval_s
        self._events_per_wake = events_per_wake
        self._on_topic = on_topic
        self._on_session = on_session
        self._clock = clock
        self._session_ids = SessionIds(node_id, clock)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._timer: asyncio.TimerHandle | None = None  # of the next turn
        self._counted = 0
        self._counted_since = 0.0
        self.policy_rev = 0
        self.sessions = 0
        self.logins = 0
        self.refusals: dict[str, int] = {}
        self.wakes = 0
        self.events = 0

    def start(self) -> None:
        """Start the core's threads and listen to its events on the running loop."""
        self._core.start()
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._core.fileno(), self._wake)

    async def stop(self, timeout_s: float) -> None:
        """Stop the core: connections are closed within `timeout_s`. Events are handled to the very last
        one.
        """
        if self._loop is None:
            return
        await asyncio.to_thread(self._core.stop, timeout_s)
        self._loop.remove_reader(self._core.fileno())
        self._loop = None
        if self._timer is not None:
            self._timer.cancel()
        while events := self._core.take_events(self._events_per_wake):
            self.handle(events)

    def _take(self) -> int:
        events = self._core.take_events(self._events_per_wake)
        self.wakes += 1
        self.events += len(events)
        self.handle(events)
        return len(events)

    def _wake(self) -> None:
        """The core has events. Above BUSY_PER_S they are looked for in turns instead."""
        loop = self._loop
        if loop is None:
            return
        if self._service.busy():
            # Events stay in the core, whose full ring stops the reading of sockets: senders learn through
            # TCP, and what is under way stays fast.
            self._turns(loop)
            return
        taken = self._take()
        now = loop.time()
        self._counted += taken
        if taken >= self._events_per_wake:
            loop.call_soon(self._wake)
        elif now - self._counted_since >= COUNT_S:
            busy = self._counted >= BUSY_PER_S * (now - self._counted_since)
            self._counted, self._counted_since = 0, now
            if busy:
                self._turns(loop)

    def _turns(self, loop: asyncio.AbstractEventLoop) -> None:
        loop.remove_reader(self._core.fileno())
        self._timer = loop.call_later(TURN_S, self._turn)

    def _turn(self) -> None:
        """A wake-up per turn instead of one per event, here and, as answers come in batches, in the core."""
        loop = self._loop
        if loop is None:
            return
        if self._service.busy():
            self._timer = loop.call_later(TURN_S, self._turn)
            return
        taken = self._take()
        if taken >= self._events_per_wake:
            loop.call_soon(self._turn)
        elif taken > 1:
            self._timer = loop.call_later(TURN_S, self._turn)
        else:
            self._timer = None
            self._counted, self._counted_since = 0, loop.time()
            loop.add_reader(self._core.fileno(), self._wake)

    def handle(self, events: Sequence[tuple[Any, ...]]) -> None:
        """Handle a batch in order; consecutive sends become one batch for the service."""
        rest = iter(events)
        while True:
            try:
                self._handle(rest)
                return
            except Exception:
                # One bad event must not cost the others; the loop goes on behind it.
                log.exception("an event could not be handled")

    def _handle(self, events: Iterator[tuple[Any, ...]]) -> None:
        codes, node, service = self._codes, self._node_id, self._service
        send, call = codes.send, codes.call
        sends: list[tuple[Session, int, str, bytes]] = []
        for event in events:
            kind = event[0]
            if kind == send:
                _, conn, user, device, request, target, payload = event
                sends.append((_tuple(Session, (node, conn, user, device)), request, target, payload))
                continue
            if sends and kind != codes.topic:
                service.on_sends(sends)
                sends = []
            if kind == call:
                _, conn, user, device, request, method, payload = event
                service.on_call(Session(node, conn, user, device), request, method, payload)
            elif kind == codes.auth:
                self._authenticate(event)
            elif kind == codes.closed:
                _, conn, user, device, code = event
                self.sessions -= 1
                service.on_logout(Session(node, conn, user, device), code)
            elif kind == codes.topic and self._on_topic is not None:
                self._on_topic(event[1], event[2], event[3])
            elif kind == codes.session and self._on_session is not None:
                self._on_session(event[1:])
        if sends:
            service.on_sends(sends)

    def _authenticate(self, event: tuple[Any, ...]) -> None:
        _, conn, _suite, handshake_hash, kind, token, binding, device, platform, peer = event
        now = self._clock()
        try:
            claims = check_login(self._verifier, now, handshake_hash, kind, token, binding, device)
        except LoginRefused as refusal:
            self.refusals[refusal.reason] = self.refusals.get(refusal.reason, 0) + 1
            log.info("login refused", code=refusal.code, reason=refusal.reason, peer=peer)
            self._core.refuse(conn, refusal.code, refusal.text)
            return
        session_id = self._session_ids.next()
        body = _encode(
            [
                session_id.to_bytes(8, "big"),
                claims.user,
                int(now * 1000),
                self.policy_rev,
                self._ping_interval_s,
                self._node_name,
            ]
        )
        self._core.login(conn, claims.user, device, platform, session_id, body)
        self.logins += 1
        self.sessions += 1
        self._service.on_login(Session(self._node_id, conn, claims.user, device), platform, session_id)
