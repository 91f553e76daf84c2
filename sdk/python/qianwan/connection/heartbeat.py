"""When to ping and when to give up waiting for the pong. Decisions only; seconds of any monotonic clock go
in.

A PING is due when nothing was written, or nothing was read, for the interval (the server's, shortened by up
to 5 % so that clients do not beat together), and at once when an answer is overdue: a request that has waited
for the pong timeout. So neither a busy sender nor a busy reader takes a dead connection for a live one. A
pong is given max(5 s, min(8 s, 4 x round trip + 2 s)).
"""

from __future__ import annotations

import enum
import random

MIN_PONG_S = 5.0
MAX_PONG_S = 8.0
MIN_INTERVAL_S = 1.0
MAX_INTERVAL_S = 3600.0


class Beat(enum.Enum):
    NOTHING = 1
    PING = 2
    DEAD = 3


class Heartbeat:
    """`check(now, oldest)` says what to do, `next_check` when to ask again. `oldest`: when the request was
    written that has been unanswered for longest, None when all are answered."""

    def __init__(self, interval_s: float, now: float, rng: random.Random) -> None:
        self._rng = rng
        self._written = self._read = self._asked = now
        self._pinged: float | None = None
        self._round_trip: float | None = None
        self.set_interval(interval_s)

    def set_interval(self, interval_s: float) -> None:
        """What the server wishes, within reason."""
        self.interval_s = min(max(interval_s, MIN_INTERVAL_S), MAX_INTERVAL_S)
        self._period = self._jittered()

    def _jittered(self) -> float:
        return self.interval_s * (1 - 0.05 * self._rng.random())

    @property
    def pong_timeout_s(self) -> float:
        if self._round_trip is None:
            return MAX_PONG_S
        return max(MIN_PONG_S, min(MAX_PONG_S, 4 * self._round_trip + 2))

    def wrote(self, now: float) -> None:
        self._written = now

    def read(self, now: float) -> None:
        self._read = now

    def pinged(self, now: float) -> None:
        self._written = self._asked = now
        if self._pinged is None:
            self._pinged = now
        self._period = self._jittered()

    def ponged(self, now: float) -> None:
        self._read = now
        if self._pinged is not None:
            sample = now - self._pinged
            self._round_trip = sample if self._round_trip is None else (7 * self._round_trip + sample) / 8
            self._pinged = None

    def check(self, now: float, oldest: float | None = None) -> Beat:
        if now < self.next_check(oldest):
            return Beat.NOTHING
        return Beat.PING if self._pinged is None else Beat.DEAD

    def next_check(self, oldest: float | None = None) -> float:
        """The moment at which `check` may say something else than NOTHING."""
        if self._pinged is not None:
            return self._pinged + self.pong_timeout_s
        due = min(self._written, self._read) + self._period
        if oldest is not None:
            due = min(due, max(oldest, self._asked) + self.pong_timeout_s)
        return due
