"""Rates: token buckets on the clock that the caller gives: one that nobody sets (Clock.elapsed_ms)."""

from __future__ import annotations

from collections.abc import Iterator
from math import ceil
from typing import Annotated

from msgspec import Meta, Struct

LEAST = 0.01
"""A second. What is slower is meant to be nobody, or not meant."""
ROUNDING_MS = 0.001
"""A double holds today's milliseconds to about 0.0003."""


LIVE: dict[str, str | bool] = {"live": True}
"""In `extra`: operators may change it while processes run (Limiter.set)."""


class Rate(Struct, frozen=True):
    """`per_s` requests a second in the long run, `burst` at once. per_s 0 switches the limit off."""

    per_s: Annotated[float, Meta(ge=0, le=1_000_000, extra=LIVE)]
    """In the long run. 0: no limit, else 0.01 at least. Beyond: refused with 416 and the time to wait."""
    burst: Annotated[int, Meta(ge=1, le=1_000_000, extra={"unit": "at once"} | LIVE)] = 1
    """At once, before that rate holds. Beyond: refused with 416 and the time to wait."""

    def problems(self) -> Iterator[tuple[tuple[str, ...], str]]:
        """(keys, why they cannot work), for whoever reads settings."""
        if 0 < self.per_s < LEAST:
            yield ("per_s",), f"0 (no limit), or at least {LEAST} a second"


class Bucket:
    """One GCRA bucket. `full_ms` is the time at which all tokens are back."""

    __slots__ = ("epoch", "full_ms")

    def __init__(self) -> None:
        self.full_ms = 0.0
        self.epoch = 0  # of the rate by which it was used last


class Limiter:
    """A rate in the form the hot path wants: milliseconds per request and the burst in milliseconds."""

    __slots__ = ("_cost", "_epoch", "_span", "off")

    def __init__(self, rate: Rate) -> None:
        self._epoch = -1
        self.set(rate)

    def set(self, rate: Rate) -> None:
        """From now on; what a bucket owes of another rate is no more than this one's burst."""
        self._epoch += 1
        self.off = rate.per_s <= 0
        self._cost = 0.0 if self.off else 1000.0 / rate.per_s
        self._span = self._cost * rate.burst

    def take(self, bucket: Bucket, now_ms: int) -> int:
        """0 and a token is gone, or the milliseconds to wait. O(1), no allocation."""
        if bucket.epoch != self._epoch:
            self._renew(bucket, now_ms)
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
        if bucket.epoch != self._epoch:
            self._renew(bucket, now_ms)
        wait = bucket.full_ms - now_ms - self._span
        return 0 if self.off or wait <= ROUNDING_MS else ceil(wait)

    def charge(self, bucket: Bucket, now_ms: int, count: int) -> None:
        """Take so many tokens, there or not."""
        if bucket.epoch != self._epoch:
            self._renew(bucket, now_ms)
        bucket.full_ms = max(bucket.full_ms, now_ms) + self._cost * count

    def _renew(self, bucket: Bucket, now_ms: int) -> None:
        """It was used by another rate: hours that it owes of one set by mistake are not waited for."""
        bucket.epoch = self._epoch
        bucket.full_ms = min(bucket.full_ms, now_ms + self._span)
