"""Tells of changes that are not in the log: each as an event that is committed with its change."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import msgspec

from im_service.ids import ServerIds
from im_service.ports import Clock
from im_service.settings import Recorded
from im_service.storage.engine import telling
from im_service.storage.event_records import NewEvent

_encode = msgspec.json.Encoder().encode
_QUIET: AbstractContextManager[None] = nullcontext()


class Teller:
    """What of an app is recorded. What is not costs a look into a set."""

    def __init__(self, record: tuple[Recorded, ...], ids: ServerIds, clock: Clock) -> None:
        self._record: frozenset[str] = frozenset(record)
        self._ids = ids
        self._clock = clock

    def records(self, family: Recorded) -> bool:
        return family in self._record

    def change(
        self, family: Recorded, event: str, subject: str, /, **data: object
    ) -> AbstractContextManager[None]:
        """`with teller.change(...): await store.something(...)`: that first change and this event are both
        committed, or none of them. Subject: what the change holds a row of, so that events keep order."""
        return telling(self.event(event, subject, data)) if family in self._record else _QUIET

    def event(self, kind: str, subject: str, data: dict[str, object], env: str | None = None) -> NewEvent:
        now = self._clock.now_ms()
        return NewEvent(self._ids.next(now), now, kind, subject, _encode(data), env or "")
