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
from qianwan.connection.link import Link
from qianwan.connection.reconnect import Backoff, Reconnector
from qianwan.connection.supervisor import State, StateChange, Supervisor
from qianwan.constants import EventKind, FrameType, RequestCode
from qianwan.delivery.feed import Feed
from qianwan.delivery.notices import NoticeQueue
from qianwan.delivery.outbox import Outbox
from qianwan.delivery.store import CursorStore
from qianwan.errors import (
    ClientClosed,
    ConnectFailed,
    ConnectionClosed,
    ProtocolError,
    RequestError,
    RequestTimeout,
)
from qianwan.models import Message, Notice, decode_message
from qianwan.protocol.auth import Credentials, Welcome
from qianwan.protocol.messages import decode, encode
from qianwan.rooms import Room

TokenSource = str | Callable[[], Awaitable[str]]
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
    device_id: str
    platform: int
    store: CursorStore
    backoff: Backoff
    max_pending: int
    max_queue: int
    login_timeout_s: float
    call_timeout_s: float
    ack_timeout_s: float
    on_state: Callable[[StateChange], None] | None
    rng: random.Random
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep


class Engine:
    """Built inside a running loop; `open` once, `close` once."""

    def __init__(self, settings: EngineSettings) -> None:
        self.settings = settings
        self.notices = NoticeQueue()
        self.feed = Feed(
            settings.store, self._call_of_feed, self.notices.arrived, max_queue=settings.max_queue
        )
        self.outbox = Outbox(settings.max_pending, settings.ack_timeout_s, self.feed.sent)
        self.rooms: dict[str, Room] = {}
        self.user = ""
        self.node = ""
        self.policy: dict[str, Any] = {}
        self.change = StateChange(State.CONNECTING)
        self.failure: Exception | None = None
        self._link: Link | None = None
        self._online = asyncio.Event()
        self._ended = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self._closing = False
        self._dialer = Dialer(
            settings.dial, device=settings.device_id, rng=settings.rng, clock=settings.clock
        )
        self._dialer.remember_keys(settings.store.load().key_set)
        self._supervisor = Supervisor(
            self,
            self._dialer,
            Reconnector(settings.backoff, settings.rng, can_refresh_token=callable(settings.token)),
            rng=settings.rng,
            clock=settings.clock,
            sleep=settings.sleep,
        )

    # life

    async def open(self) -> None:
        self._spawn(self._run())
        self._spawn(self._maintain())
        waits = [asyncio.ensure_future(event.wait()) for event in (self._online, self._ended)]
        try:
            async with asyncio.timeout(self.settings.login_timeout_s):
                await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        except TimeoutError:
            reason = self.change.reason
            await self.close(patience_s=0)
            dial = self.settings.dial
            where = ", ".join([*dial.lbs_urls, *map(str, dial.addresses)])
            limit = self.settings.login_timeout_s
            raise ConnectFailed(f"no login within {limit} s at {where}: {reason or 'no answer'}") from reason
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
            with contextlib.suppress(TimeoutError, ConnectionClosed, RequestError):
                async with asyncio.timeout(patience_s):
                    await self.outbox.drained()
                    await self.feed.acknowledge()
        self._supervisor.close()
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
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
        for room in self.rooms.values():
            room.ended(failure)
        self.on_change(StateChange(State.CLOSED, failure))
        self._ended.set()

    def _spawn(self, work: Any) -> None:
        task: asyncio.Task[None] = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _maintain(self) -> None:
        """Once a second: overdue sends, read positions."""
        while True:
            await asyncio.sleep(TICK_S)
            self.outbox.overdue()
            self.feed.persist()
            if self._link is not None:
                with contextlib.suppress(ConnectionClosed, RequestError):
                    await self.feed.acknowledge()

    # what the supervisor and the link say

    async def credentials(self) -> Credentials:
        settings = self.settings
        token = settings.token if isinstance(settings.token, str) else await settings.token()
        return Credentials(token, settings.device_id, settings.platform, settings.signing_key)

    async def on_online(self, link: Link, welcome: Welcome) -> None:
        self._link = link
        self.user, self.node = welcome.user, welcome.node
        position = self.feed.start(welcome.user)
        position.key_set = self._dialer.key_set_text
        self.outbox.online(link)
        self._online.set()
        self._rejoin_all()
        self._spawn(self._catch_up())

    def on_offline(self) -> None:
        self._link = None
        self._online.clear()
        self.outbox.offline()
        self.feed.offline()

    def on_change(self, change: StateChange) -> None:
        self.change = change
        if self.settings.on_state is not None:
            self.settings.on_state(change)

    def on_message(self, message: Message) -> None:
        self.feed.arrived(message)

    def on_policy(self, policy: dict[str, Any]) -> None:
        self.policy = policy

    def on_event(self, kind: int, payload: bytes) -> None:
        try:
            self._take_event(kind, payload)
        except (ProtocolError, ValueError, TypeError) as error:  # events are droppable
            log.warning("an event of kind %d cannot be read: %s", kind, error)

    def _take_event(self, kind: int, payload: bytes) -> None:
        if kind == EventKind.ROOM_MESSAGE:
            message = decode_message(payload)
            room = self.rooms.get(message.conversation[2:])
            if room is not None:
                room.arrived(message)
        elif kind == EventKind.SYNC:
            conversation, last_seq = decode(payload)
            if conversation is None:  # the service lost track, perhaps of rooms too
                self._rejoin_all()
            self.feed.hinted(conversation, last_seq or 0)
        elif kind == EventKind.NOTICE:
            name, data = decode(payload)
            self.notices.arrived(Notice(str(name), dict(data)))
        elif kind == EventKind.PRESENCE:
            user, online, devices = decode(payload)[:3]
            data = {"user": user, "online": online, "devices": devices}
            self.notices.arrived(Notice("presence", data))

    async def _catch_up(self) -> None:
        with contextlib.suppress(ConnectionClosed, RequestError, asyncio.CancelledError):
            await self.feed.catch_up()

    def _rejoin_all(self) -> None:
        for room in list(self.rooms.values()):
            self._spawn(self._rejoin(room))

    async def _rejoin(self, room: Room) -> None:
        try:
            await self.rejoin(room)
        except RequestTimeout:
            pass  # sending, or the next login, joins again
        except RequestError as refused:
            if self.rooms.pop(room.name, None) is not None:
                room.ended(refused)
        except ConnectionClosed:
            pass  # the next login joins again

    async def rejoin(self, room: Room) -> None:
        """Enter a room (again). Raises what `call` raises."""
        room.joined(decode(await self.call("room.join", {"room": room.name})))

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

    async def _call_of_feed(self, method: str, args: dict[str, Any]) -> bytes:
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
            if link is not None:
                await asyncio.sleep(0)  # the supervisor is about to notice the end
                continue
            waits = [asyncio.ensure_future(event.wait()) for event in (self._online, self._ended)]
            try:
                await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for wait in waits:
                    wait.cancel()
