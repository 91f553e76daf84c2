"""HTTP/1.1 whose connections are bounded in number and in time. uvicorn bounds neither: a peer that never
sends its request would keep a descriptor for good.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import ClassVar, cast

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol


@dataclass
class Bounds:
    """Of one server. `waiting` holds the connections whose request is not complete, the longest first."""

    connections: int
    request_s: float
    waiting: dict[BoundedProtocol, asyncio.TimerHandle] = field(default_factory=dict)
    refused: int = 0
    late: int = 0
    malformed: int = 0
    gone: int = 0

    def stats(self) -> dict[str, int]:
        return {
            "connections_refused_total": self.refused,
            "requests_late_total": self.late,
            "requests_malformed_total": self.malformed,
            "clients_gone_total": self.gone,
        }


class BoundedProtocol(H11Protocol):
    """A connection must have sent its whole request, headers and body, `request_s` after its begin or after
    the answer before. When all connections are taken a new one ends the one that has waited the longest; if
    every one of them is being answered, it is closed.
    """

    _bounds: ClassVar[Bounds]

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        bounds = self._bounds
        super().connection_made(cast(asyncio.Transport, transport))  # uvloop's is one by behaviour only
        if len(self.connections) > bounds.connections:
            bounds.refused += 1
            longest = next(iter(bounds.waiting), None)
            (longest or self).transport.abort()
            if longest is None:
                return
            longest._complete()
        self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        self._complete()
        if self.cycle is not None and not self.cycle.response_complete:
            self._bounds.gone += 1
        super().connection_lost(exc)

    def send_400_response(self, msg: str) -> None:
        self._bounds.malformed += 1
        super().send_400_response(msg)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._settle()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._settle()

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
