"""Many room members in one event loop, for demonstrations and load: no task, queue or timer per connection.

    swarm = LightSwarm("http://127.0.0.1:7800", tokens, room="lobby")
    await swarm.open()
    ...
    await swarm.received(len(tokens) * 200, timeout_s=30)
    print(swarm.totals())
    await swarm.close()

Every member checks the numbering of every sender: a sender numbers its messages 1, 2, 3 ... at the end of
their text, as `<anything> <number>` (another rule can be given as `number_of`).
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable, Sequence
from itertools import cycle
from typing import NamedTuple

from qianwan.connection.dial import SUITES, Dialer, DialSettings
from qianwan.constants import CloseCode, EventKind, FrameType
from qianwan.errors import ConnectFailed, ConnectionClosed
from qianwan.models import Message
from qianwan.protocol import auth, messages
from qianwan.protocol.room_messages import parse_room_messages
from qianwan.protocol.wire import State, Wire
from qianwan.transport import Address, Stream, open_stream

_EVENT, _MSG, _ROOM = int(FrameType.EVENT), int(FrameType.MSG), int(EventKind.ROOM_MESSAGES)
_SYNC = bytes((EventKind.SYNC,))
_CACHE_SIZE = 4096
_JOIN_REQUEST = 1


def trailing_number(message: Message) -> tuple[str, int] | None:
    """(sender, number) from a text that ends in ` <number>`, else None."""
    stem, _, digits = message.text.rpartition(" ")
    return (f"{message.sender} {stem}", int(digits)) if digits.isdecimal() else None


class Totals(NamedTuple):
    """What all members together saw. `lost` are holes in a sender's numbering, as of now."""

    members: int
    online: int
    received: int
    lost: int
    duplicated: int
    reordered: int
    closed: int


class _Member:
    """One connection; a Receiver of its stream."""

    __slots__ = ("_last", "_stream", "_wire", "credentials", "ready", "reason", "received", "swarm")

    def __init__(self, swarm: LightSwarm, wire: Wire, credentials: auth.Credentials) -> None:
        self.swarm = swarm
        self.credentials = credentials
        self.ready: asyncio.Future[None] | None = asyncio.get_running_loop().create_future()
        self.reason: ConnectionClosed | None = None
        self.received = 0
        self._wire = wire
        self._stream: Stream | None = None
        self._last: dict[str, int] = {}

    async def open(self, address: Address) -> None:
        self._stream = await open_stream(address, self)
        self._stream.write(self._wire.start())
        if self.ready is not None:
            await self.ready
        self.ready = None

    def stream_data(self, data: bytes) -> None:
        wire = self._wire
        in_handshake = wire.state is State.HANDSHAKE
        try:
            frames = wire.feed(data)
            if in_handshake and wire.state is State.OPEN:
                self.say(FrameType.AUTH, auth.auth_body(self.credentials, wire.handshake_hash))
            swarm, last = self.swarm, self._last
            numbers = swarm.numbers
            for kind, _, body in frames:
                if kind == _EVENT and body and body[0] == _ROOM:
                    said = numbers.get(body)
                    if said is None:
                        said = swarm.read(body)
                    self.received += len(said)
                    swarm.count += len(said)
                    for sender, n in said:
                        if last.get(sender, n - 1) == n - 1:
                            last[sender] = n
                        else:
                            self._out_of_turn(sender, n)
                elif kind == _MSG:
                    self.received += 1
                    swarm.count += 1
                elif kind != _EVENT or body[:1] == _SYNC:
                    self._take(kind, body)
        except Exception as error:  # of one member; the others go on
            self._end(ConnectionClosed(0, str(error) or type(error).__name__))
            return
        if wire.received - wire.acked >= 16:
            self.say(FrameType.ACK)
        if swarm.count >= swarm.goal:
            swarm.reached.set()

    def _out_of_turn(self, sender: str, n: int) -> None:
        if not n:
            return
        swarm, last = self.swarm, self._last[sender]
        if n > last:
            swarm.lost += n - last - 1
            self._last[sender] = n
        elif n == last:
            swarm.duplicated += 1
        else:
            swarm.reordered += 1

    def _take(self, kind: int, body: bytes) -> None:
        if kind == FrameType.AUTH_OK:
            if not self._join():
                self._is_ready()
        elif kind == _EVENT:
            conversation, _ = messages.decode(body[1:])
            if conversation is None:
                self._join()
        elif kind == FrameType.RETURN:
            answer = messages.parse_answer(body)
            if answer.request == _JOIN_REQUEST and answer.code:
                raise answer.error()
            self._is_ready()
        elif kind == FrameType.PING:
            self.say(FrameType.ACK)
        elif kind == FrameType.CLOSE:
            self._end(messages.parse_close(body))

    def _join(self) -> bool:
        if self.swarm.room:
            args = messages.encode({"room": self.swarm.room})
            self.say(FrameType.CALL, messages.request_body(_JOIN_REQUEST, "room.join", args))
        return bool(self.swarm.room)

    def _is_ready(self) -> None:
        if self.ready is not None and not self.ready.done():
            self.ready.set_result(None)

    def say(self, kind: int, body: bytes = b"") -> None:
        if self._stream is not None and self.reason is None:
            self._wire.write(kind, body)
            self._stream.write(self._wire.flush(time.monotonic()))

    def close(self) -> None:
        self.say(FrameType.CLOSE, messages.close_body(CloseCode.NORMAL))
        if self._stream is not None:
            self._stream.close()
        self.reason = self.reason or ConnectionClosed(CloseCode.NORMAL)

    def stream_closed(self, error: Exception | None) -> None:
        self._end(ConnectionClosed(0, str(error) if error else "the stream ended"))

    def _end(self, reason: ConnectionClosed) -> None:
        if self.reason is None:
            self.reason = reason
            if self._stream is not None:
                self._stream.abort()
        if self.ready is not None and not self.ready.done():
            self.ready.set_exception(self.reason)


class LightSwarm:
    """`tokens` gives one (device id, token) per member; suites and transports go round among the members."""

    def __init__(
        self,
        where: str | Sequence[str],
        tokens: Sequence[tuple[str, str]],
        *,
        room: str | None = None,
        root_key: str | None = None,
        suites: Sequence[str] = ("auto",),
        transports: Sequence[str] = ("tcp",),
        number_of: Callable[[Message], tuple[str, int] | None] = trailing_number,
        ping_s: float = 30.0,
    ) -> None:
        places = [where] if isinstance(where, str) else list(where)
        urls = tuple(place for place in places if place.startswith("http"))
        addresses = tuple(Address.parse(place) for place in places if place not in urls)
        self._settings = DialSettings(urls, addresses, root_key)
        self._tokens = tokens
        self._suites, self._transports = suites, transports
        self._number_of = number_of
        self._ping_s = ping_s
        self._timer: asyncio.TimerHandle | None = None
        self.room = room
        self.members: list[_Member] = []
        self.numbers: dict[bytes, list[tuple[str, int]]] = {}
        self.count = self.lost = self.duplicated = self.reordered = 0
        self.goal = 0
        self.reached = asyncio.Event()

    def read(self, body: bytes) -> list[tuple[str, int]]:
        """Decode room messages once for all members; number 0 means that nobody counts it."""
        found = [self._number_of(message) or ("", 0) for message in parse_room_messages(body[1:])]
        if len(self.numbers) >= _CACHE_SIZE:
            self.numbers.clear()
        self.numbers[body] = found
        return found

    async def open(self, *, parallel: int = 64, timeout_s: float = 60.0) -> None:
        """Connect, log in and join with every member. Raises ConnectFailed, or the first refusal."""
        rng = random.Random()
        dialer = Dialer(self._settings, device="light", rng=rng, clock=time.monotonic)
        probe = await dialer.connect(_Deaf(), self._tokens[0][1])
        probe.abort()
        places = list(await dialer.addresses_for(self._tokens[0][1], False))
        key, best = dialer.server_key(), probe.suite
        slots = asyncio.Semaphore(parallel)

        async def join(token: tuple[str, str], suite: str, transport: str, place: Address) -> None:
            wire = Wire(best if suite == "auto" else SUITES[suite], key.key_id, key.public)
            member = _Member(self, wire, auth.Credentials(token[1], token[0]))
            self.members.append(member)
            async with slots:
                await member.open(place._replace(transport=transport))

        plan = zip(self._tokens, cycle(self._suites), _slow_cycle(self), cycle(places), strict=False)
        async with asyncio.timeout(timeout_s):
            try:
                async with asyncio.TaskGroup() as group:
                    for step in plan:
                        group.create_task(join(*step))
            except ExceptionGroup as failures:
                await self.close()
                first = failures.exceptions[0]
                raise ConnectFailed(f"{len(failures.exceptions)} members failed: {first}") from first
        self._beat()

    def _beat(self) -> None:
        for member in self.members:
            member.say(FrameType.PING)
        self._timer = asyncio.get_running_loop().call_later(self._ping_s, self._beat)

    async def received(self, total: int, *, timeout_s: float) -> bool:
        """Wait until all members together have received `total` messages; False when the time is over
        first.
        """
        self.reached.clear()
        self.goal = total
        if self.count >= total:
            return True
        try:
            async with asyncio.timeout(timeout_s):
                await self.reached.wait()
        except TimeoutError:
            return False
        return True

    def totals(self) -> Totals:
        closed = sum(member.reason is not None for member in self.members)
        online = len(self.members) - closed
        return Totals(
            len(self.members), online, self.count, self.lost, self.duplicated, self.reordered, closed
        )

    async def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        for member in self.members:
            member.close()
        await asyncio.sleep(0)


def _slow_cycle(swarm: LightSwarm) -> cycle[str]:
    """Transports change once per round of suites, so that every pair of them occurs."""
    return cycle([transport for transport in swarm._transports for _ in swarm._suites])


class _Deaf:
    """The owner of the probing connection, which never logs in."""

    def on_message(self, message: Message) -> None: ...

    def on_event(self, kind: int, payload: bytes) -> None: ...

    def on_policy(self, policy: dict[str, object]) -> None: ...

    def on_ticket(self, link: object, ticket: object) -> None: ...
