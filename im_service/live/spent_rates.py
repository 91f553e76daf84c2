"""What was used up of a conversation's rate, while nobody who wrote there is connected."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable

from im_service.live.route import Route
from im_service.ports import Clock
from im_service.rates import Bucket

MAX_KEPT = 50_000
"""Buckets that are not full again; the one that was left first is forgotten above this number."""


class SpentRates:
    """Routes hold what the caches remember of a pair or group, and with it the bucket. When a session drops
    its routes, what is not full again is held here, so that the next one finds it where it was."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._held: OrderedDict[Bucket, object] = OrderedDict()

    def keep(self, routes: Iterable[Route]) -> None:
        """These routes are about to be dropped."""
        now, held = self._clock.elapsed_ms(), self._held
        for route in routes:
            if route.bucket.full_ms > now:
                held[route.bucket] = route.pair or route.group or route.room
                held.move_to_end(route.bucket)
        while held:
            oldest = next(iter(held))
            if oldest.full_ms > now and len(held) <= MAX_KEPT:
                break
            del held[oldest]
