"""One gateway and its Python thread: events out of the core in batches, logins checked, the rest to the
service.

core --eventfd--> take_events --+-- EV_AUTH    logins.py checks token and binding, im.on_login
                                +-- EV_TICKET  the same of a login by ticket
                                +-- EV_PARKED  a session lost its connection, EV_RESUMED it has another one
                                +-- EV_ELSEWHERE, EV_TAKEN  a session moves between gateways (returns.py)
                                +-- EV_SEND    collected, one im.on_sends per wake
                                +-- EV_CALL    im.on_call, after the sends before it
                                +-- EV_CLOSED  im.on_logout
                                +-- EV_TOPIC   first/last local member -> topics (several processes only)
                                +-- EV_DROPPED a room's members missed something, im.on_dropped
                                +-- EV_PICKED  a session that shall leave (drain.py, moves.py)
                                +-- EV_REPORT  what a client tells of its network, EV_SILENT: one was closed,
                                |              for nothing was read (control/policy)
                                +-- EV_SESSION repeated in a resync (several processes only)
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import Protocol

from control.gateway.core import Core, CoreEvent, EventCodes, MessageService
from control.gateway.logins import Begun, Logins
from control.gateway.resync import HeldSession
from control.gateway.traces import Traces
from control.logs import get_logger
from im_service.ports import Session

log = get_logger("gateway")
# A NamedTuple made without its constructor: a third of the cost, once per message.
_tuple = tuple.__new__
# Each wake-up costs this thread and the loops it answers 20 to 40 us. From this rate on (over COUNT_S),
# events wait up to TURN_S (the grain of the event loop's timers) and share one.
BUSY_PER_S = 3000
COUNT_S = 0.01
TURN_S = 0.001
LEAVING_S = 0.01


class TopicListener(Protocol):
    """Who hears of topics and sessions of the core; with one process nobody does."""

    def on_topic(self, topic: str, loop: int, up: int) -> None: ...
    def on_session(self, held: HeldSession, room: str) -> None: ...


class PolicyListener(Protocol):
    """Who chooses the heartbeat policy of a connection."""

    def on_report(self, conn: int, user: str, platform: int, first: bool, body: bytes) -> None: ...
    def on_silent(self, row: int, seconds: int) -> None: ...


class GatewayEvents:
    """Joins one core with the message service. All methods run on the event loop thread. `node` is what
    sessions carry (node_ids.node_key).
    """

    def __init__(
        self,
        core: Core,
        codes: EventCodes,
        logins: Logins,
        service: MessageService,
        node: int,
        listener: TopicListener | None = None,
        events_per_wake: int = 2048,
        not_running: tuple[type[Exception], ...] = (),
        on_picked: Callable[[int, str, str, bool, bool], None] = lambda *picked: None,
        on_looked: Callable[[int, int, str, str, bytes, int], None] = lambda *looked: None,
        traces: Traces | None = None,
        on_elsewhere: Callable[[CoreEvent], None] = lambda event: None,
        on_taken: Callable[[int, int, int, list[bytes]], None] = lambda *taken: None,
        policies: PolicyListener | None = None,
    ) -> None:
        self._on_elsewhere = on_elsewhere
        self._on_taken = on_taken
        self._core = core
        self._codes = codes
        self.logins = logins
        logins.on_begun = self.begun
        self._service = service
        self._node = node
        self._listener = listener
        self._events_per_wake = events_per_wake
        self._not_running = not_running
        self._on_picked = on_picked
        self._on_looked = on_looked
        self._traces = traces
        self._policies = policies
        self._loop: asyncio.AbstractEventLoop | None = None  # while events are taken
        self._started = False
        self._timer: asyncio.TimerHandle | None = None  # of the next turn
        self._counted = 0
        self._counted_since = 0.0
        self.sessions = 0
        self.wakes = 0
        self.events = 0

    def start(self) -> None:
        """Start the core's threads and listen to its events on the running loop."""
        self._core.start()
        self._started = True
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._core.fileno(), self._wake)

    async def stop(self, timeout_s: float, settle: Callable[[], Awaitable[None]] | None = None) -> None:
        """Stop the core. Sessions get `timeout_s` to leave by themselves; then nothing more is taken,
        `settle` waits until what was is answered, and connections are closed. Events are handled to the last.
        """
        if not self._started:
            return
        self._started = False
        for _ in range(round(timeout_s / LEAVING_S)):
            if not self.sessions:
                break
            await asyncio.sleep(LEAVING_S)
        self._pause()
        if settle is not None:
            await settle()
        await asyncio.to_thread(self._core.stop, 0.0)
        while events := self._core.take_events(self._events_per_wake):
            self.handle(events)

    def _pause(self) -> None:
        loop, self._loop = self._loop, None
        if loop is not None:
            loop.remove_reader(self._core.fileno())
        if self._timer is not None:
            self._timer.cancel()

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

    def handle(self, events: Sequence[CoreEvent]) -> None:
        """Handle a batch in order; consecutive sends become one batch for the service."""
        if self._traces is not None and self._traces.users:
            self._traces.see(events)
        rest = iter(events)
        while True:
            try:
                self._handle(rest)
                return
            except self._not_running:
                continue  # whom this event is of has been disconnected
            except Exception:
                # One bad event must not cost the others; the loop goes on behind it.
                log.exception("an event could not be handled")

    def begun(self, begun: Begun, moved: bool = False) -> None:
        """A session is live in the core; `moved`: with what another gateway had kept."""
        conn, user, device, platform, session_id = begun
        self.sessions += 1
        if self._traces is not None and self._traces.users:
            self._traces.logged_in(conn, user, device)
        self._service.on_login(Session(self._node, conn, user, device), platform, session_id, moved)

    def _handle(self, events: Iterator[CoreEvent]) -> None:
        codes, node, service, listener = self._codes, self._node, self._service, self._listener
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
                if (begun := self.logins.check(event)) is not None:
                    self.begun(begun)
            elif kind == codes.closed:
                _, conn, user, device, code = event
                self.sessions -= 1
                service.on_logout(Session(node, conn, user, device), code)
            elif kind == codes.parked:
                service.on_away(Session(node, event[1], event[2], event[3]))
            elif kind == codes.resumed:
                if self.logins.may_return(event[1], event[2], event[5]) and event[4]:
                    service.on_back(Session(node, event[1], event[2], event[3]))
            elif kind == codes.ticket:
                if (begun := self.logins.check_ticket(event)) is not None:
                    self.begun(begun)
            elif kind == codes.elsewhere:
                self._on_elsewhere(event)
            elif kind == codes.taken:
                self._on_taken(*event[2:6])
            elif kind == codes.report:
                if self._policies is not None:
                    self._policies.on_report(*event[1:6])
            elif kind == codes.silent:
                if self._policies is not None:
                    self._policies.on_silent(event[2], event[3])
            elif kind == codes.dropped:
                service.on_dropped(event[1], event[2], event[3], event[4])
            elif kind == codes.looked:
                self._on_looked(*event[1:])
            elif kind == codes.picked:
                self._on_picked(*event[1:])
            elif kind == codes.topic and listener is not None:
                listener.on_topic(event[1], event[2], event[3])
            elif kind == codes.session and listener is not None:
                listener.on_session(event[1:6], event[6])
        if sends:
            service.on_sends(sends)
