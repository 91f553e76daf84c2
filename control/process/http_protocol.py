"""HTTP/1.1 whose connections are bounded in number and in time. uvicorn bounds neither: a peer that never
sends its request would keep a descriptor for good.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import ClassVar, cast

import h11
from uvicorn._types import ASGIReceiveCallable, ASGISendCallable, ASGISendEvent, Scope
from uvicorn.protocols.http.flow_control import CLOSE_HEADER
from uvicorn.protocols.http.h11_impl import H11Protocol

from control.api.lockout import network_of

ENDING = [(b"retry-after", b"1"), (b"content-length", b"0"), CLOSE_HEADER]
HALL_PART = 8
"""Beside the connections of a port so large a part may wait for a place; half of it of one network."""
HALL_MOST = 32
"""Their descriptors are of those that the process keeps for itself."""
HALL_S = 2.0
"""So long a newcomer waits for the end of somebody's answer."""
SETTLED_S = 0.1
"""Who came later than this may be about to send: they are not ended for a newcomer who can wait."""


@dataclass
class Bounds:
    """Of one server. `waiting` holds the connections whose request is not complete, the longest first, `hall`
    those beyond `connections`, which are not looked at yet."""

    connections: int
    request_s: float
    waiting: dict[BoundedProtocol, asyncio.TimerHandle] = field(default_factory=dict)
    hall: OrderedDict[BoundedProtocol, asyncio.TimerHandle] = field(default_factory=OrderedDict)
    refused: int = 0
    late: int = 0
    malformed: int = 0
    gone: int = 0

    def has_room(self, network: str) -> bool:
        """In the hall, for one more from there: nobody may fill it alone."""
        most = min(self.connections // HALL_PART, HALL_MOST)
        of_network = sum(other.network == network for other in self.hall)
        return len(self.hall) < most and of_network < max(most // 2, 1)

    def stats(self) -> dict[str, int]:
        return {
            "connections_refused_total": self.refused,
            "requests_late_total": self.late,
            "requests_malformed_total": self.malformed,
            "clients_gone_total": self.gone,
        }


class BoundedProtocol(H11Protocol):
    """A connection must have sent its whole request, headers and body, `request_s` after its begin or after
    the answer before. When all places are taken a new one ends the one that has waited the longest. If every
    one of them is being answered, it waits in the hall, and the next answer is the last of its connection,
    whatever requests stand behind it: else who sends many at once would keep their place. It is closed when
    the hall is full, or when no answer ends in time.
    """

    _bounds: ClassVar[Bounds]
    network = ""
    _early = b""
    """What one read gave while in the hall: no more is read there, and only who reads learns of an end."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        bounds = self._bounds
        super().connection_made(cast(asyncio.Transport, transport))  # uvloop's is one by behaviour only
        self.network = network_of(self.client[0]) if self.client else ""
        self._answers, self.app = self.app, self._answer
        if self._served() <= bounds.connections:
            self._wait()
        elif not self._settled() and bounds.has_room(self.network):
            bounds.hall[self] = self.loop.call_later(HALL_S, self._stop_waiting_in_hall)
        elif self._end_longest():
            self._wait()
        else:
            bounds.refused += 1
            self.transport.abort()

    def _served(self) -> int:
        return len(self.connections) - len(self._bounds.hall)

    def _settled(self) -> bool:
        """Whether somebody has waited long enough to be ended for a newcomer."""
        timer = next(iter(self._bounds.waiting.values()), None)
        return timer is not None and timer.when() - self.loop.time() <= self._bounds.request_s - SETTLED_S

    def _end_longest(self) -> bool:
        longest = next(iter(self._bounds.waiting), None)
        if longest is None:
            return False
        self._bounds.refused += 1
        longest.transport.abort()
        longest._complete()
        return True

    def _stop_waiting_in_hall(self) -> None:
        if self._end_longest():
            self._come_in()
        else:
            self._bounds.refused += 1
            self.transport.abort()

    def _come_in(self) -> None:
        self._bounds.hall.pop(self).cancel()
        self._wait()
        self.flow.resume_reading()
        if self._early:
            early, self._early = self._early, b""
            self.data_received(early)

    async def _answer(self, scope: Scope, receive: ASGIReceiveCallable, send: ASGISendCallable) -> None:
        begun = False

        async def last_if_awaited(message: ASGISendEvent) -> None:
            nonlocal begun
            if message["type"] == "http.response.start":
                begun = True
                if self._bounds.hall:
                    message["headers"] = [*message.get("headers", []), CLOSE_HEADER]
            await send(message)

        try:
            await self._answers(scope, receive, last_if_awaited)
        except asyncio.CancelledError:  # the process ends, and this would have taken longer
            if begun:
                self.cycle.disconnected = True
                self.transport.abort()
            else:
                await send({"type": "http.response.start", "status": 503, "headers": ENDING})
                await send({"type": "http.response.body", "body": b"", "more_body": False})

    def connection_lost(self, exc: Exception | None) -> None:
        hall = self._bounds.hall
        if (timer := hall.pop(self, None)) is not None:
            timer.cancel()
        self._complete()
        if self.cycle is not None and not self.cycle.response_complete:
            self._bounds.gone += 1
        super().connection_lost(exc)
        while hall and self._served() < self._bounds.connections:
            next(iter(hall))._come_in()

    def send_400_response(self, msg: str) -> None:
        self._bounds.malformed += 1
        super().send_400_response(msg)

    def data_received(self, data: bytes) -> None:
        if self in self._bounds.hall:
            self._early += data
            self.flow.pause_reading()
            return
        super().data_received(data)
        self._settle()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._settle()
        if self._bounds.hall and self in self._bounds.waiting:  # its answer had begun before anybody came
            self._complete()
            self.transport.close()

    def _settle(self) -> None:
        if self.conn.their_state not in (h11.IDLE, h11.SEND_BODY):
            self._complete()
        elif self not in self._bounds.waiting:
            self._wait()

    def _wait(self) -> None:
        if not self.transport.is_closing():
            self._bounds.waiting[self] = self.loop.call_later(self._bounds.request_s, self._give_up)

    def _complete(self) -> None:
        if (timer := self._bounds.waiting.pop(self, None)) is not None:
            timer.cancel()

    def _give_up(self) -> None:
        self._bounds.late += 1
        self._complete()
        self.transport.abort()


def bounded(bounds: Bounds) -> type[BoundedProtocol]:
    """The protocol of one server."""
    return type("Bounded", (BoundedProtocol,), {"_bounds": bounds})
