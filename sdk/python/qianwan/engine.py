"""The inside of a Client: one supervisor, one outbox, one feed, the joined rooms, and the tasks that tie
them.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import logging
import random
import time
from collections.abc import Awaitable, Callable
from typing import Any

from qianwan.connection.dial import Dialer, DialSettings
from qianwan.connection.kept_ticket import KeptTicket, TicketFile, Whose
from qianwan.connection.lbs import subject_of
from qianwan.connection.link import Link
from qianwan.connection.reconnect import Backoff, Reconnector
from qianwan.connection.supervisor import State, StateChange, Supervisor
from qianwan.constants import EventKind, FrameType, RequestCode
from qianwan.delivery.feed import Feed
from qianwan.delivery.insist import insist
from qianwan.delivery.journal import OutboxStore
from qianwan.delivery.notices import NoticeQueue
from qianwan.delivery.outbox import Outbox, OutboxLimits
from qianwan.delivery.store import CursorStore, Keeper
from qianwan.errors import (
    ClientClosed,
    ConnectFailed,
    ConnectionClosed,
    QianwanError,
    RequestTimeout,
)
from qianwan.models import Message, Notice
from qianwan.protocol.auth import Credentials, Welcome
from qianwan.protocol.messages import decode, encode
from qianwan.protocol.room_messages import parse_room_messages
from qianwan.protocol.tickets import Resumed, Ticket
from qianwan.rooms import RoomTable
from qianwan.steering import Steering, SteeringSettings
from qianwan.tasks import Tasks
from qianwan.tokens import TokenSource, token_of

log = logging.getLogger("qianwan")
TICK_S = 1.0
REPEATABLE = frozenset({"time", "sync", "pull", "ack", "read", "room.join", "room.leave"})
"""methods that may be sent twice without harm, so a lost connection repeats them"""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class EngineSettings:
    """What `Client(...)` was given; times in seconds."""

    dial: DialSettings
    token: TokenSource
    signing_key: bytes | None
    device_id: str | None
    platform: int
    store: CursorStore
    backoff: Backoff
    outbox: OutboxLimits
    unsent: OutboxStore | None
    ticket: TicketFile | None
    user: str
    """who logs in, as the application says; "": who the token says"""
    steering: SteeringSettings
    max_queue: int
    login_timeout_s: float
    call_timeout_s: float
    on_state: Callable[[StateChange], None] | None
    rng: random.Random
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep


class Engine:
    """Built inside a running loop; `open` once, `close` once."""

    def __init__(self, settings: EngineSettings) -> None:
        self.settings = settings
        self.notices = NoticeQueue()
        self.keeper = Keeper(settings.store, settings.device_id)
        believe_s = settings.backoff.believe_s
        self.feed = Feed(
            self.keeper,
            self._call_now,
            self.notices.arrived,
            max_queue=settings.max_queue,
            believe_s=believe_s,
        )
        self._tasks = Tasks()
        self.rooms = RoomTable(self.call, self._call_now, self._tasks, believe_s=believe_s)
        self.outbox = Outbox(
            settings.outbox, settings.rng, self.feed.sent, self.rooms.reenter, settings.unsent
        )
        self.renewals: list[Callable[[Callable[[Notice], None]], Awaitable[None]]] = []
        """what the application asked for and a login has to ask for again"""
        self._renewing: list[asyncio.Task[None]] = []
        self.user = ""
        self.node = ""
        self.change = StateChange(State.CONNECTING)
        self.failure: Exception | None = None
        self._trouble: Exception | None = None
        self._link: Link | None = None
        self._online = asyncio.Event()
        self._ended = asyncio.Event()
        self._closing = False
        self.steering = Steering(settings.steering, self.keeper, settings.rng)
        self._dialer = Dialer(
            settings.dial,
            device=self.keeper.device,
            rng=settings.rng,
            clock=settings.clock,
            vitals=self.steering.vitals,
        )
        self._dialer.remember_keys(self.keeper.position.key_set)
        self._dialer.remember_placement(self.keeper.position.placement)
        reconnector = Reconnector(settings.backoff, settings.rng, can_refresh_token=callable(settings.token))
        self._supervisor = Supervisor(
            self,
            self._dialer,
            reconnector,
            clock=settings.clock,
            sleep=settings.sleep,
            kept=KeptTicket(settings.ticket, self._whose()),
        )
        self.steering.drive(self._dialer, reconnector, self._supervisor)

    def _whose(self) -> Whose:
        settings = self.settings
        user = settings.user
        if not user and isinstance(settings.token, str):
            user = subject_of(settings.token)
        servers = settings.dial.root_key or " ".join(sorted(settings.dial.lbs_urls))
        return Whose(user, self.keeper.device, settings.platform, servers)

    # life

    async def open(self) -> None:
        self._tasks.spawn(self._run())
        self._tasks.spawn(self._every_second(self._repeat))
        self._tasks.spawn(self._every_second(self._acknowledge))
        waits = [asyncio.ensure_future(event.wait()) for event in (self._online, self._ended)]
        try:
            async with asyncio.timeout(self.settings.login_timeout_s):
                await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        except TimeoutError:
            reason = self._trouble
            await self.close(patience_s=0)
            dial = self.settings.dial
            where = ", ".join([*dial.lbs_urls, *map(str, dial.addresses)])
            limit = self.settings.login_timeout_s
            raise ConnectFailed(f"no login within {limit} s at {where}: {_said(reason)}") from reason
        except BaseException:
            await self.close(patience_s=0)
            raise
        finally:
            for wait in waits:
                wait.cancel()
        if self.failure is not None:
            await self.close(patience_s=0)
            raise self.failure

    async def close(self, *, patience_s: float) -> None:
        if self._closing:
            return
        self._closing = True
        if self._link is not None and self._link.alive and patience_s > 0:
            with contextlib.suppress(TimeoutError, QianwanError):
                async with asyncio.timeout(patience_s):
                    await self.outbox.drained()
                    await self.feed.acknowledge()
        self._supervisor.close()
        await asyncio.gather(*self._tasks.cancel(), return_exceptions=True)
        if self.user:
            self.feed.save()
        self._finish(None)

    async def _run(self) -> None:
        try:
            await self._supervisor.run()
        except Exception as error:  # whatever ended the client, the application hears it
            self._finish(error)

    def _finish(self, failure: Exception | None) -> None:
        if self.change.state is State.CLOSED:
            return
        self.failure = failure
        self._link = None
        self._online.clear()
        self.outbox.offline()
        self.outbox.fail(failure or ClientClosed("closed"))
        self.feed.close(failure)
        self.notices.close(failure)
        self.rooms.end(failure)
        self.on_change(StateChange(State.CLOSED, failure))
        self._ended.set()

    async def _every_second(self, step: Callable[[], Awaitable[None]]) -> None:
        """Maintenance goes on whatever one step of it meets."""
        while True:
            await asyncio.sleep(TICK_S)
            try:
                await step()
            except QianwanError as error:
                log.info("maintenance: %s", error)
            except Exception:
                log.exception("maintenance failed, going on")

    async def _repeat(self) -> None:
        """Sends that are overdue, a read position that could not be saved."""
        self.outbox.overdue()
        self.steering.tick()
        self.feed.persist()

    async def _acknowledge(self) -> None:
        if self._link is not None:
            await self.feed.acknowledge()

    # what the supervisor and the link say

    async def credentials(self) -> Credentials:
        settings = self.settings
        token = await token_of(settings.token)
        return Credentials(token, self.keeper.device, settings.platform, settings.signing_key)

    def on_online(self, link: Link, welcome: Welcome) -> None:
        self.user, self.node = welcome.user, welcome.node
        self.feed.start(welcome.user, (welcome.incarnation or b"").hex())
        self.keeper.position.key_set = self._dialer.key_set_text
        self.keeper.position.placement = self._dialer.placement_text or self.keeper.position.placement
        self.outbox.restore(welcome.user, self.notices.arrived)
        self._take(link)
        self.feed.hinted(None, 0)

    def on_resumed(self, link: Link, resumed: Resumed) -> None:
        self.node = link.node or self.node
        self._take(link)
        self.feed.resumed()

    def _take(self, link: Link) -> None:
        """From now on all goes over this connection."""
        self._link = link
        if link.ticket is not None:
            self.on_ticket(link, link.ticket)
        link.closed.add_done_callback(lambda _: self._lost(link))
        self.outbox.online(link)
        self._online.set()
        self.steering.online(link)
        self._ask_again()

    def _lost(self, link: Link) -> None:
        if self._link is link:
            self.on_offline()

    def on_offline(self) -> None:
        self._link = None
        self._online.clear()
        self.steering.offline()
        self.outbox.offline()
        self.feed.offline()

    def on_change(self, change: StateChange) -> None:
        self.change = change
        self._trouble = change.reason or self._trouble
        if self.settings.on_state is not None:
            try:
                self.settings.on_state(change)
            except (Exception, asyncio.CancelledError):
                log.exception("on_state failed")

    def on_message(self, message: Message) -> None:
        self.feed.arrived(message)

    def on_ticket(self, link: Link, ticket: Ticket) -> None:
        if link is self._link:
            self._supervisor.resumption.given(ticket, asyncio.get_running_loop().time())

    def on_policy(self, policy: dict[str, Any]) -> None:
        self.steering.told(policy)

    def on_event(self, kind: int, payload: bytes) -> None:
        try:
            self._take_event(kind, payload)
        except Exception as error:  # events are droppable
            log.warning("an event of kind %d cannot be read: %s", kind, error)

    def _take_event(self, kind: int, payload: bytes) -> None:
        if kind == EventKind.ROOM_MESSAGES:
            for message in parse_room_messages(payload):
                self.rooms.arrived(message)
        elif kind == EventKind.SYNC:
            conversation, last_seq = decode(payload)
            if conversation is None:  # the service lost track, perhaps of rooms and watches too
                self._ask_again()
            self.feed.hinted(conversation, last_seq or 0)
        elif kind == EventKind.NOTICE:
            name, data = decode(payload)
            notice = Notice(str(name), dict(data))
            self.rooms.noticed(notice)
            self.notices.arrived(notice)
        elif kind == EventKind.PRESENCE:
            user, online, devices = decode(payload)[:3]
            data = {"user": user, "online": online, "devices": devices}
            self.notices.arrived(Notice("presence", data))

    def _ask_again(self) -> None:
        """What the application asked for and the server may not know any more."""
        self.rooms.enter_all()
        for task in self._renewing:
            task.cancel()
        self._renewing = [self._tasks.spawn(self._renew(renewal)) for renewal in self.renewals]

    async def _renew(self, renewal: Callable[[Callable[[Notice], None]], Awaitable[None]]) -> None:
        believe_s = self.settings.backoff.believe_s
        await insist(lambda: renewal(self.notices.arrived), "asking again", believe_s=believe_s)

    # requests

    async def call(self, method: str, args: dict[str, Any], *, timeout_s: float | None = None) -> bytes:
        """The raw result of a CALL. Waits for a connection; repeats only what is harmless to repeat.

        Raises RequestError, RequestTimeout, ConnectionClosed (the outcome is unknown) or ClientClosed.
        """
        payload = encode(args)
        limit = self.settings.call_timeout_s if timeout_s is None else timeout_s
        try:
            async with asyncio.timeout(limit):
                while True:
                    link = await self._connected()
                    try:
                        answer = await link.request(FrameType.CALL, method, payload)
                    except ConnectionClosed:
                        if method not in REPEATABLE:
                            raise
                        continue
                    break
        except TimeoutError:
            raise RequestTimeout(RequestCode.TIMEOUT, f"{method}: no answer within {limit} s") from None
        if answer.code != RequestCode.OK:
            raise answer.error()
        return answer.payload

    async def _call_now(self, method: str, args: dict[str, Any]) -> bytes:
        """A CALL over the connection there is. Raises ConnectionClosed when there is none."""
        link = self._link
        if link is None:
            raise ConnectionClosed(0, "not connected")
        try:
            async with asyncio.timeout(self.settings.call_timeout_s):
                answer = await link.request(FrameType.CALL, method, encode(args))
        except TimeoutError:
            raise RequestTimeout(RequestCode.TIMEOUT, f"{method}: no answer") from None
        if answer.code != RequestCode.OK:
            raise answer.error()
        return answer.payload

    async def _connected(self) -> Link:
        while True:
            link = self._link
            if link is not None and link.alive:
                return link
            if self.change.state is State.CLOSED:
                raise ClientClosed("the client is closed") from self.failure
            waits = [asyncio.ensure_future(event.wait()) for event in (self._online, self._ended)]
            try:
                await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for wait in waits:
                    wait.cancel()


def _said(reason: Exception | None) -> str:
    return "no answer" if reason is None else str(reason) or type(reason).__name__
