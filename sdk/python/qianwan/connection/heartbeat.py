"""When to ping and when to give up waiting for the pong. Decisions only; seconds of any monotonic clock go
in.

A PING is due after an interval without writing anything; every write moves it. The interval is the
server's, shortened
by up to 5 % so that clients do not beat together. A pong is given max(5 s, min(8 s, 4 x round trip + 2 s)).
"""

from __future__ import annotations

import enum
import random

MIN_PONG_S = 5.0
MAX_PONG_S = 8.0


class Beat(enum.Enum):
    NOTHING = 1
    PING = 2
    DEAD = 3


class Heartbeat:
    """`check(now)` says what to do; `next_check` when to ask again."""

    def __init__(self, interval_s: float, now: float, rng: random.Random) -> None:
        self._rng = rng
        self._written = now
        self._pinged: float | None = None
        self._round_trip: float | None = None
        self.interval_s = interval_s
        self._period = self._jittered()

    def _jittered(self) -> float:
        return self.interval_s * (1 - 0.05 * self._rng.random())

    def set_interval(self, interval_s: float) -> None:
        self.interval_s = interval_s
        self._period = self._jittered()

    @property
    def pong_timeout_s(self) -> float:
        if self._round_trip is None:
            return MAX_PONG_S
        return max(MIN_PONG_S, min(MAX_PONG_S, 4 * self._round_trip + 2))

    def wrote(self, now: float) -> None:
        self._written = now

    def pinged(self, now: float) -> None:
        self._written = now
        if self._pinged is None:
            self._pinged = now
        self._period = self._jittered()

    def ponged(self, now: float) -> None:
        if self._pinged is not None:
            sample = now - self._pinged
            self._round_trip = sample if self._round_trip is None else (7 * self._round_trip + sample) / 8
            self._pinged = None

    def check(self, now: float) -> Beat:
        if self._pinged is not None:
            return Beat.DEAD if now - self._pinged >= self.pong_timeout_s else Beat.NOTHING
        return Beat.PING if now - self._written >= self._period else Beat.NOTHING

    def next_check(self) -> float:
        """The moment at which `check` may say something else than NOTHING."""
        if self._pinged is not None:
            return self._pinged + self.pong_timeout_s
        return self._written + self._period
