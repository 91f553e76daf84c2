"""How many frames at once a new session may send: what its user has not used up by earlier logins."""

from __future__ import annotations

from collections import OrderedDict

MAX_KEPT = 100_000
"""Users that logged in lately; the one that did so first is forgotten above this number."""


class Allowances:
    """Every session begins with a budget of `burst` frames. So that it is not full again with each login, a
    user has that of two sessions, which comes back by `per_s`; a login takes what is left, `least` always.
    `clock` in seconds, one that nobody sets. O(1) each, at most MAX_KEPT users. per_s 0: no limit.
    """

    def __init__(self, per_s: int, burst: int, least: int = 64) -> None:
        self._per_s = per_s
        self._burst = burst
        self._least = min(least, burst)
        self._full: OrderedDict[str, float] = OrderedDict()  # user -> when all of it is back

    def take(self, user: str, now: float) -> int:
        """Frames that a session of this user, which begins now, may send at once."""
        if not self._per_s:
            return self._burst
        full = max(self._full.pop(user, now), now)
        left = 2 * self._burst - int((full - now) * self._per_s)
        frames = max(min(left, self._burst), self._least)
        self._full[user] = min(full + frames / self._per_s, now + 2 * self._burst / self._per_s)
        while self._full:
            oldest = next(iter(self._full))
            if self._full[oldest] > now and len(self._full) <= MAX_KEPT:
                break
            del self._full[oldest]
        return frames
