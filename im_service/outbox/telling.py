"""Tells of changes that are not in the log: each as an event that is committed with its change."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, nullcontext
from typing import TypeVar, cast

import msgspec

from im_service.ids import ServerIds
from im_service.outbox.kinds.base import Change
from im_service.ports import Clock
from im_service.routing import EVERYWHERE, Routing
from im_service.settings import Recorded
from im_service.storage.engine import Told, telling
from im_service.storage.event_records import NewEvent

T = TypeVar("T")
_encode = msgspec.json.Encoder().encode
_QUIET: AbstractContextManager[None] = nullcontext()


class Teller:
    """What of an app is recorded. What is not costs a look into a set."""

    def __init__(self, record: tuple[Recorded, ...], ids: ServerIds, clock: Clock) -> None:
        self._record: frozenset[Recorded | None] = frozenset((*record, None))
        self._ids = ids
        self._clock = clock

    def records(self, family: Recorded) -> bool:
        return family in self._record

    def change(self, subject: str, told: Change, where: Routing = EVERYWHERE) -> AbstractContextManager[None]:
        """`with teller.change(...): await store.something(...)`: that first change and this event are both
        committed, or none of them. Subject: what the change holds a row of, so that events keep order.
        `where`: as the message went that this is about."""
        return self.changes([(subject, told)], where)

    def changes(
        self, told: Iterable[tuple[str, Change]], where: Routing = EVERYWHERE
    ) -> AbstractContextManager[None]:
        """The same of several, each with its subject."""
        wanted = (each for each in told if where.route and each[1].RECORD in self._record)
        events = [self.event(*each, where.env) for each in wanted]
        return telling(*events) if events else _QUIET

    def outcome(
        self,
        subject: str,
        kind: type[Change],
        told: Callable[[T], Change | None],
        where: Routing = EVERYWHERE,
    ) -> AbstractContextManager[None]:
        """The same, where what is told depends on what the change answers; None: nothing is."""
        if kind.RECORD not in self._record or not where.route:
            return _QUIET

        def event(answer: T) -> NewEvent | None:
            change = told(answer)
            return None if change is None else self.event(subject, change, where.env)

        return telling(cast(Told, event))

    def event(self, subject: str, told: Change, env: str = "") -> NewEvent:
        now = self._clock.now_ms()
        return NewEvent(self._ids.next(now), now, told.KIND, subject, _encode(told), env)
