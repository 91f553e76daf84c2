"""How far the endpoints of this process are behind, as was measured last. Not known is not 0."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

from im_service.outbox.ports import Cursor, CursorInvalid, EventLog, Lag
from im_service.storage.errors import StoreError


class Lags:
    """`place`: up to where an endpoint has everything; None: nothing is kept of it yet."""

    def __init__(self, events: EventLog, place: Callable[[str], Awaitable[Cursor | None]]) -> None:
        self._log = events
        self._place = place
        self.known: dict[str, Lag] = {}

    async def measure(self, names: Sequence[str]) -> None:
        """Of these and no others. Where the store does not answer, the last one stands."""
        self.known = {name: lag for name, lag in self.known.items() if name in names}
        for name in names:
            await self._measure(name)

    async def now(self, name: str) -> Lag | None:
        """The last one, measured at once where there is none: its owner is new."""
        if name not in self.known:
            await self._measure(name)
        return self.known.get(name)

    async def _measure(self, name: str) -> None:
        try:
            place = await self._place(name)
            if place is not None:
                self.known[name] = await self._log.lag(place)
        except (StoreError, CursorInvalid):
            return
