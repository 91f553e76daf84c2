"""What a user's earlier logins leave to the next one: how many frames at once it may send, and whether it is
one too many.
"""

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


class LoginPace:
    """A user logs in `per_s` times a second in the long run and AT_ONCE seconds' worth at once. `clock` in
    seconds, one that nobody sets. O(1) each, at most MAX_KEPT users. per_s 0: no limit.
    """

    AT_ONCE = 20

    def __init__(self, per_s: float) -> None:
        self._cost = 1 / per_s if per_s else 0.0
        self._room = max(self.AT_ONCE, self._cost)
        self._free: OrderedDict[str, float] = OrderedDict()  # user -> when nothing of it is used any more

    def too_many(self, user: str, now: float) -> bool:
        """A login of this user is asked for now; one that is too many costs nothing."""
        if not self._cost:
            return False
        free = max(self._free.get(user, now), now) + self._cost
        if free - now > self._room + self._cost / 2:
            return True
        self._free[user] = free
        self._free.move_to_end(user)
        while self._free:
            oldest = next(iter(self._free))
            if self._free[oldest] > now and len(self._free) <= MAX_KEPT:
                break
            del self._free[oldest]
        return False
