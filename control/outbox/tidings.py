"""What becomes of endpoints is told in the copy: one is disabled, paused, goes on, or has dead letters.

A state stands in a document and its event in the store, so the owner of an endpoint writes the event after it
saw the document: the state that it sees at least once, under one `event_id`, which is the change's own. One
that lasted shorter than that takes may be left out. A process that begins says again what is younger than
AGAIN_MS. No endpoint is given what is said of itself (delivery.py); what is
said is a change, never an answer, so two endpoints that refuse each other's tidings tell of it once each.
"""

from __future__ import annotations

from collections.abc import Callable
from hashlib import blake2b
from typing import Protocol

import msgspec

from control.logs import get_logger
from control.outbox.endpoints import Endpoint
from im_service.outbox.kinds.copy import EndpointLetters, EndpointState, subject_of
from im_service.storage.errors import StoreError
from im_service.storage.event_records import NewEvent
from im_service.storage.records import DeadLetter

log = get_logger("outbox")

AGAIN_MS = 86_400_000
"""Whoever owned it then may have died in between. Beyond: an owner has said it long since."""


class EventWriter(Protocol):
    async def tell(self, *new: NewEvent) -> None:
        """Commit these events. StoreError."""
        ...


class Tidings:
    """Of the endpoints that this process owns."""

    def __init__(self, store: EventWriter, now_ms: Callable[[], int]) -> None:
        self._store = store
        self._now_ms = now_ms
        self._told: dict[str, int] = {}

    async def state(self, name: str, endpoint: Endpoint) -> None:
        """Once for each change of its state; later, where the store does not answer."""
        since_ms, now_ms = endpoint.since * 1000, self._now_ms()
        if not since_ms or now_ms - since_ms > AGAIN_MS:
            return
        told = EndpointState(endpoint=name, state=endpoint.state, why=endpoint.why, since_ms=since_ms)
        event = _event(
            told, now_ms, endpoint.incarnation, str(endpoint.changes), endpoint.state, str(since_ms)
        )
        if self._told.get(name) == event.server_id:
            return
        try:
            await self._store.tell(event)
        except StoreError as error:
            log.warning("the state of an endpoint is told later", endpoint=name, reason=str(error))
            return
        self._told[name] = event.server_id

    def forget(self, name: str) -> None:
        self._told.pop(name, None)


def first_letter(letter: DeadLetter) -> Callable[[object], NewEvent | None]:
    """What is told with this dead letter: that it is the first one."""
    told = EndpointLetters(
        endpoint=letter.endpoint, event_id=letter.event_id, kind=letter.kind, reason=letter.reason
    )
    return lambda kept: _event(told, letter.time_ms, letter.event_id) if kept == 1 else None


def _event(told: EndpointState | EndpointLetters, time_ms: int, *marks: str) -> NewEvent:
    text = "\0".join((told.KIND, told.endpoint, *marks)).encode()
    number = int.from_bytes(blake2b(text, digest_size=8).digest(), "big") >> 1
    data = msgspec.json.encode(told)
    return NewEvent(number, time_ms, told.KIND, subject_of(told.endpoint), data)
