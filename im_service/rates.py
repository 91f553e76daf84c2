"""Rates: token buckets on the clock that the caller gives: one that nobody sets (Clock.elapsed_ms)."""

from __future__ import annotations

from math import ceil
from typing import Annotated

from msgspec import Meta, Struct

ROUNDING_MS = 0.001
"""A double holds today's milliseconds to about 0.0003."""


LIVE: dict[str, str | bool] = {"live": True}
"""In `extra`: operators may change it while processes run (Limiter.set)."""


class Rate(Struct, frozen=True):
    """`per_s` requests a second in the long run, `burst` at once. per_s 0 switches the limit off."""

    per_s: Annotated[float, Meta(ge=0, le=1_000_000, extra=LIVE)]
    """In the long run. 0: no limit. Beyond: refused with 416 and the time to wait."""
    burst: Annotated[int, Meta(ge=1, le=1_000_000, extra={"unit": "at once"} | LIVE)] = 1
    """At once, before that rate holds. Beyond: refused with 416 and the time to wait."""


class Bucket:
    """One GCRA bucket. `full_ms` is the time at which all tokens are back."""

    __slots__ = ("full_ms",)

    def __init__(self) -> None:
        self.full_ms = 0.0


class Limiter:
    """A rate in the form the hot path wants: milliseconds per request and the burst in milliseconds."""

    __slots__ = ("_cost", "_span", "off")

    def __init__(self, rate: Rate) -> None:
        self.set(rate)

    def set(self, rate: Rate) -> None:
        """From now on; what buckets have used of it stays used."""
        self.off = rate.per_s <= 0
        self._cost = 0.0 if self.off else 1000.0 / rate.per_s
        self._span = self._cost * rate.burst

    def take(self, bucket: Bucket, now_ms: int) -> int:
        """0 and a token is gone, or the milliseconds to wait. O(1), no allocation."""
        full = bucket.full_ms
        if full < now_ms:
            full = now_ms
        full += self._cost
        wait = full - now_ms - self._span
        if wait > ROUNDING_MS:
            return ceil(wait)
        bucket.full_ms = full
        return 0

    def owed(self, bucket: Bucket, now_ms: int) -> int:
        """Milliseconds until the burst is no longer overdrawn; 0 = it is not."""
        wait = bucket.full_ms - now_ms - self._span
        return 0 if self.off or wait <= ROUNDING_MS else ceil(wait)

    def charge(self, bucket: Bucket, now_ms: int, count: int) -> None:
        """Take so many tokens, there or not."""
        bucket.full_ms = max(bucket.full_ms, now_ms) + self._cost * count
