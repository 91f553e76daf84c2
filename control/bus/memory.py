"""The bus of one process (or of several nodes of a test): a table of subscribers, delivered on the next
loop turn.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from control.bus.base import BusError, NobodyThere
from control.logs import get_logger

log = get_logger("bus")

_Handler = Callable[[bytes], None]
_Responder = Callable[[bytes, Callable[[bytes], None]], None]


@dataclass
class MemoryHub:
    """What MemoryBus objects of one event loop share, as NATS clients share a server. Queue bound in
    messages.
    """

    max_queued: int = 1 << 20
    max_payload: int = 1 << 20
    subscribers: dict[str, list[_Handler]] = field(default_factory=dict)
    responders: dict[str, _Responder] = field(default_factory=dict)
    queue: deque[tuple[str, bytes]] = field(default_factory=deque)
    scheduled: bool = False

    def put(self, subject: str, payload: bytes) -> bool:
        if len(self.queue) >= self.max_queued:
            return False
        self.queue.append((subject, payload))
        if not self.scheduled:
            self.scheduled = True
            asyncio.get_running_loop().call_soon(self.deliver)
        return True

    def deliver(self) -> None:
        self.scheduled = False
        for _ in range(len(self.queue)):
            subject, payload = self.queue.popleft()
            for handler in tuple(self.subscribers.get(subject, ())):
                try:
                    handler(payload)
                except Exception:
                    log.exception("bus handler failed", subject=subject)
        if self.queue and not self.scheduled:
            self.scheduled = True
            asyncio.get_running_loop().call_soon(self.deliver)


class MemoryBus:
    """Implements Bus within one event loop."""

    def __init__(self, hub: MemoryHub | None = None) -> None:
        self._hub = hub if hub is not None else MemoryHub()
        self._mine: list[tuple[str, _Handler]] = []
        self._responding: list[str] = []
        self.dropped = 0
        self._open = False

    async def start(self) -> None:
        self._open = True

    async def close(self) -> None:
        self._open = False
        for subject, handler in self._mine:
            self._hub.subscribers[subject].remove(handler)
        for subject in self._responding:
            self._hub.responders.pop(subject, None)
        self._mine.clear()
        self._responding.clear()

    @property
    def max_payload(self) -> int:
        return self._hub.max_payload

    @property
    def connected(self) -> bool:
        return self._open

    def publish(self, subject: str, payload: bytes) -> None:
        fits = len(payload) <= self._hub.max_payload
        if not self._open or not fits or not self._hub.put(subject, payload):
            self.dropped += 1

    def on_reconnect(self, callback: Callable[[], None]) -> None:
        return  # never away

    async def subscribe(self, subject: str, handler: _Handler) -> None:
        self._hub.subscribers.setdefault(subject, []).append(handler)
        self._mine.append((subject, handler))

    async def request(
        self, subject: str, payload: bytes, timeout_s: float, nobody_s: float | None = None
    ) -> bytes:
        responder = self._hub.responders.get(subject)
        if responder is None:
            raise NobodyThere(f"nobody answers on {subject}")
        answer: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

        def settle(result: bytes) -> None:
            if not answer.done():
                answer.set_result(result)

        responder(payload, settle)
        try:
            async with asyncio.timeout(timeout_s):
                return await answer
        except TimeoutError:
            raise BusError(f"no answer on {subject} within {timeout_s} s") from None

    async def respond(self, subject: str, handler: _Responder) -> None:
        self._hub.responders[subject] = handler
        self._responding.append(subject)

    async def flush(self) -> None:
        await asyncio.sleep(0)  # the delivery of what is queued was scheduled before this turn
