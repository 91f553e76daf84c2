"""An EventLog in memory, for tests of those who read one."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from im_service.outbox.ports import (
    EVERYTHING,
    ConsumerGroup,
    Cursor,
    CursorGone,
    Event,
    EventFilter,
    EventPage,
    GroupTaken,
    Lag,
)
from im_service.storage.errors import StoreUnavailable


class MemoryEventLog:
    """Implements EventLog; `broken`: the store does not answer. Cursors are numbers."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.kept: dict[str, ConsumerGroup] = {}
        self.expired = 0
        self.broken = False
        self._news = asyncio.Event()

    def put(
        self, kind: str, subject: str, data: Mapping[str, object] | None = None, env: str | None = None
    ) -> Event:
        number = len(self.events) + 1
        event = Event(f"e{number}", kind, number * 1000, subject, env, data or {"n": number}, f"c{number}")
        self.events.append(event)
        self._news.set()
        self._news = asyncio.Event()
        return event

    def _check(self) -> None:
        if self.broken:
            raise StoreUnavailable("the store is away")

    async def head(self) -> Cursor:
        self._check()
        return f"c{len(self.events)}"

    async def first(self) -> Cursor:
        return f"c{self.expired}"

    async def at_time(self, time_ms: int) -> Cursor:
        return f"c{sum(event.time_ms < time_ms for event in self.events)}"

    async def read(self, after: Cursor, limit: int, wanted: EventFilter = EVERYTHING) -> EventPage:
        self._check()
        at = int(after[1:])
        if at < self.expired:
            raise CursorGone("expired", f"c{self.expired}")
        found: list[Event] = []
        for event in self.events[at:]:
            at += 1
            if wanted.takes(event.kind, event.env):
                found.append(event)
            if len(found) == limit:
                break
        return EventPage(found, f"c{at}", at < len(self.events))

    async def wait(self, after: Cursor, timeout_s: float) -> bool:
        if int(after[1:]) < len(self.events):
            return True
        try:
            async with asyncio.timeout(timeout_s):
                await self._news.wait()
        except TimeoutError:
            return False
        return True

    async def lag(self, after: Cursor) -> Lag:
        self._check()
        await asyncio.sleep(0)
        behind = len(self.events) - int(after[1:])
        return Lag(behind, float(behind))

    async def group(self, name: str) -> ConsumerGroup | None:
        self._check()
        return self.kept.get(name)

    async def groups(self) -> list[ConsumerGroup]:
        return [self.kept[name] for name in sorted(self.kept)]

    async def commit(
        self, name: str, cursor: Cursor, revision: int | None = None, note: bytes | None = None
    ) -> ConsumerGroup:
        self._check()
        before = self.kept.get(name)
        if revision is not None and revision != (before.revision if before else 0):
            raise GroupTaken(f"{name} was committed by another")
        if note is None:
            note = before.note if before else b""
        self.kept[name] = ConsumerGroup(name, cursor, (before.revision if before else 0) + 1, 0, note)
        return self.kept[name]

    async def drop(self, name: str) -> bool:
        return self.kept.pop(name, None) is not None
