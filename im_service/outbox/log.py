"""The EventLog over a store: cursors are judged, rows become events, groups are kept."""

from __future__ import annotations

import asyncio
import time

from im_service.ids import check_id, reserved
from im_service.outbox import shapes
from im_service.outbox.cursors import Spot, judged, oldest, parse, present
from im_service.outbox.ports import (
    EVERYTHING,
    NOTE_BYTES,
    ConsumerGroup,
    Cursor,
    CursorGone,
    CursorInvalid,
    Event,
    EventFilter,
    EventPage,
    GroupTaken,
    Lag,
)
from im_service.ports import Clock
from im_service.storage.errors import StoreConflict
from im_service.storage.event_records import Entry, EventRow, GroupRow
from im_service.storage.store import Store

MOST_EVENTS = 1000
"""Events of a page."""
LOOKED_AT = 5000
"""Rows that one page looks at, whatever the filter leaves of them."""
POLL_FIRST_S, POLL_S = 0.01, 0.25
"""Other processes commit, too, and tell nobody."""


class StoreEventLog:
    """Implements EventLog."""

    def __init__(self, store: Store, clock: Clock, groups_max: int) -> None:
        self._store = store
        self._clock = clock
        self._groups_max = groups_max

    async def head(self) -> Cursor:
        state = await self._store.event_state()
        return Spot(present(state), await self._store.settled(), state.gone).text()

    async def first(self) -> Cursor:
        return oldest(await self._store.event_state()).text()

    async def at_time(self, time_ms: int) -> Cursor:
        state = await self._store.event_state()
        return Spot(present(state), await self._store.event_place(time_ms), state.gone).text()

    async def read(self, after: Cursor, limit: int, wanted: EventFilter = EVERYTHING) -> EventPage:
        spot = parse(after)
        limit = max(1, min(limit, MOST_EVENTS))
        events: list[Event] = []
        looked_at = 0
        while True:
            found = await self._store.events(spot.place, limit)
            spot = judged(spot, found.state)
            for entry in found.entries:
                spot = spot.at(entry.behind)
                event = _event(entry, spot)
                if event is not None and wanted.takes(event.kind, event.env):
                    events.append(event)
                    if len(events) == limit:
                        return EventPage(events, spot.text(), found.more or entry is not found.entries[-1])
            spot = spot.at(found.next)
            looked_at += len(found.entries)
            if not found.more or looked_at >= LOOKED_AT or events:
                return EventPage(events, spot.text(), found.more)

    async def wait(self, after: Cursor, timeout_s: float) -> bool:
        try:
            place = parse(after).place
        except CursorInvalid:
            return True
        end, pause = time.monotonic() + timeout_s, POLL_FIRST_S
        while True:
            committed = self._store.next_commit()
            if await self._store.news(place):
                return True
            left = end - time.monotonic()
            if left <= 0:
                return False
            done, _ = await asyncio.wait([committed], timeout=min(pause, left))
            pause = POLL_FIRST_S if done else min(2 * pause, POLL_S)
            committed.cancel()

    async def lag(self, after: Cursor) -> Lag:
        spot = parse(after)
        state = await self._store.event_state()
        for _ in range(3):  # put back, and expired since: each says where to go on
            try:
                spot = judged(spot, state)
                break
            except CursorGone as gone:
                spot = parse(gone.go_on)
        count, oldest_ms = await self._store.events_behind(spot.place)
        return Lag(count, max(0, self._clock.now_ms() - oldest_ms) / 1000 if oldest_ms else 0.0)

    async def group(self, name: str) -> ConsumerGroup | None:
        found = [] if reserved(name) else await self._store.event_groups(name)
        return _group(found[0]) if found else None

    async def groups(self) -> list[ConsumerGroup]:
        return [_group(row) for row in await self._store.event_groups() if not reserved(row.name)]

    async def commit(
        self, name: str, cursor: Cursor, revision: int | None = None, note: bytes | None = None
    ) -> ConsumerGroup:
        check_id(name, "group")
        if note is not None and len(note) > NOTE_BYTES:
            raise ValueError(f"a note has at most {NOTE_BYTES} bytes")
        spot = parse(cursor)
        try:
            row = await self._store.commit_group(
                name, spot.text(), revision, self._clock.now_ms(), self._groups_max, note
            )
        except StoreConflict as error:
            raise GroupTaken(str(error)) from None
        return _group(row)

    async def drop(self, name: str) -> bool:
        return not reserved(name) and await self._store.drop_group(name)


def _event(entry: Entry, spot: Spot) -> Event | None:
    if isinstance(entry.row, EventRow):
        return shapes.of_event(entry.row, spot.text())
    return shapes.of_message(entry.row, spot.text())


def _group(row: GroupRow) -> ConsumerGroup:
    return ConsumerGroup(*row)
