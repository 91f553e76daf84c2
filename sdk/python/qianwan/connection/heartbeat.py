"""When one connection pings and when it gives up waiting for the pong. Decisions only; seconds of any
monotonic clock go in.

A PING is due when nothing was written, or nothing was read, for the interval (of the search, shortened at
random so that clients do not beat together), and at once when an answer is overdue: a request that has waited
for the pong timeout. So neither a busy sender nor a busy reader takes a dead connection for a live one. A
pong is given max(5 s, min(8 s, 4 x round trip + 2 s)), both bounds of the policy, and in the foreground one
more PING before the connection counts as dead.

The server closes what is silent for longer than it was told to expect. So an interval that is longer than the
one it knows is not relied on before a PING has announced it and a PONG has answered that.
"""

from __future__ import annotations

import enum
import math
import random

from qianwan.connection.policy import Policy
from qianwan.constants import PingState
from qianwan.protocol.messages import ping_body

LATE_S = 15.0
"""A beat that is sent so much after it was due tells the server that the system defers timers."""


class Beat(enum.Enum):
    NOTHING = 1
    PING = 2
    DEAD = 3


class Heartbeat:
    """`check(now, oldest)` says what to do, `next_check` when to ask again. `oldest`: when the request was
    written that has been unanswered for longest, None when all are answered. `told_s`: the interval that
    the server expects."""

    def __init__(
        self,
        interval_s: float,
        now: float,
        rng: random.Random,
        policy: Policy | None = None,
        told_s: float | None = None,
    ) -> None:
        self._rng = rng
        self.policy = policy or Policy()
        self.foreground: bool | None = None
        """None: the application never said"""
        self.written = self.last_read = self._asked = now
        self.round_trip_s: float | None = None
        self.gap_s = 0.0
        """the silence before the PING that is, or was last, under way"""
        self._pinged: float | None = None
        self._sent = now
        self._retried = False
        self._told = math.ceil(interval_s if told_s is None else told_s)  # whole seconds travel
        self._announced: int | None = None
        self._share = 0.0
        self.set_interval(interval_s)

    def set_interval(self, interval_s: float) -> None:
        self.interval_s = interval_s
        self._share = self._rng.random()

    @property
    def period_s(self) -> float:
        """The interval in force: what was announced, what the foreground asks for, less the jitter."""
        longest = min(self.interval_s, self._told)
        if self.foreground and self.policy.foreground_s:
            longest = min(longest, self.policy.foreground_s)
        return longest * (1 - self.policy.jitter * self._share)

    @property
    def pong_timeout_s(self) -> float:
        policy = self.policy
        if self._retried:
            return policy.pong_min_s
        if self.round_trip_s is None:
            return policy.pong_max_s
        return max(policy.pong_min_s, min(policy.pong_max_s, 4 * self.round_trip_s + 2))

    @property
    def waiting(self) -> bool:
        """A PING is not answered yet."""
        return self._pinged is not None

    def wrote(self, now: float) -> None:
        self.written = now

    def read(self, now: float) -> None:
        self.last_read = now

    def pinged(self, now: float) -> bytes:
        """A PING is about to be written. Returns its body: empty, unless the server is to expect another
        interval than it does, or the system woke this client late."""
        late = now - min(self.written, self.last_read) - self.period_s > LATE_S
        if self._pinged is None:
            self.gap_s = now - max(self.written, self.last_read)
            self._pinged = self._sent = now
        elif self._retried:
            self._sent = now
        self.written = self._asked = now
        self._share = self._rng.random()
        next_s = math.ceil(self.interval_s)
        if next_s == self._told and not late:
            return b""
        self._announced = next_s
        state = PingState.LATE_ALARM if late else PingState(0)
        return ping_body(state | PingState.BACKGROUND if self.foreground is False else state, next_s)

    def ponged(self, now: float) -> float | None:
        """The silence that this pong proves to be bearable; None when nothing was asked."""
        self.last_read = now
        if self._pinged is None:
            return None
        sample = now - self._pinged
        known = self.round_trip_s
        self.round_trip_s = sample if known is None else (7 * known + sample) / 8
        self._pinged, self._retried = None, False
        if self._announced is not None:
            self._told, self._announced = self._announced, None
        return self.gap_s

    def check(self, now: float, oldest: float | None = None) -> Beat:
        if now < self.next_check(oldest):
            return Beat.NOTHING
        if self._pinged is None:
            return Beat.PING
        if self.foreground and not self._retried:
            self._retried = True
            return Beat.PING
        return Beat.DEAD

    def next_check(self, oldest: float | None = None) -> float:
        """The moment at which `check` may say something else than NOTHING."""
        if self._pinged is not None:
            return self._sent + self.pong_timeout_s
        due = min(self.written, self.last_read) + self.period_s
        if oldest is not None:
            due = min(due, max(oldest, self._asked) + self.pong_timeout_s)
        return due
