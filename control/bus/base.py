"""The bus: publish and subscribe between processes. A hint, never the truth; the store is the truth."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from frame.constants import MAX_RAW_BODY

MIN_PAYLOAD = 2 * MAX_RAW_BODY
"""Bytes that a bus must carry in one message: whatever a client sends or is answered, with room for names."""


class Bus(Protocol):
    """At-most-once delivery of byte strings.

    Guarantees. Messages of one publisher on one subject arrive in the order of `publish`, or not at all: a
    gap is possible, a swap or a duplicate is not. A subscription that was confirmed (`subscribe` returned)
    sees every later message of a healthy bus. Nothing is kept for absent subscribers. While the bus is away,
    `publish` neither blocks nor raises: what it is given is dropped and counted in `dropped`, as is what
    exceeds the bounded buffer of one that is slow.
    """

    dropped: int

    @property
    def max_payload(self) -> int:
        """Bytes of the largest message it carries now; a larger one is dropped and counted."""
        ...

    async def start(self) -> None:
        """Connect. Raises BusError when the bus cannot be reached within the connect time-out, or carries
        less than MIN_PAYLOAD.
        """
        ...

    async def close(self) -> None: ...

    def publish(self, subject: str, payload: bytes) -> None:
        """Queue one message. Subjects are words joined by dots; the bus adds its own prefix."""
        ...

    def on_reconnect(self, callback: Callable[[], None]) -> None:
        """Call `callback` each time the bus is there again: what was said meanwhile is unknown."""
        ...

    async def subscribe(self, subject: str, handler: Callable[[bytes], None]) -> None:
        """Call `handler(payload)` on the event loop thread for each message. Handlers must not block or
        raise.
        """
        ...

    async def request(
        self, subject: str, payload: bytes, timeout_s: float, nobody_s: float | None = None
    ) -> bytes:
        """Ask the responder of `subject`; of several the first to answer counts. Raises BusError when nobody
        answers in time, NobodyThere when nobody was there to be asked: the question had no effect.
        `nobody_s`: so long a responder may be on its way back to the bus; None: as long as the answer may
        take.
        """
        ...

    async def respond(self, subject: str, handler: Callable[[bytes, Callable[[bytes], None]], None]) -> None:
        """Answer requests on `subject`: `handler(payload, answer)`, where `answer(payload)` is called
        once, later.
        """
        ...

    async def flush(self) -> None:
        """Return when everything published before has left this process, or the bus is away."""
        ...

    @property
    def connected(self) -> bool: ...


class BusError(Exception):
    """The bus could not be reached, or nobody answered a request."""


class NobodyThere(BusError):
    """A request reached nobody."""
