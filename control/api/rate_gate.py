"""How many requests one API key may make."""

from __future__ import annotations

CHANGES_AT_ONCE = 1000
"""Of the admin API, by one key: a script that goes over every node of a large cluster."""


class RateGate:
    """GCRA per API key: `burst` at once, `per_s` in the long run. Bounded by the number of keys."""

    def __init__(self, per_s: float, burst: int) -> None:
        self._full: dict[str, float] = {}
        self.set(per_s, burst)

    def set(self, per_s: float, burst: int) -> None:
        """From now on: what was owed at another rate is forgotten."""
        self._full.clear()
        self._cost = 1.0 / per_s
        self._span = self._cost * burst

    def take(self, key_id: str, now: float, tokens: float = 1.0) -> float:
        """0.0 and the tokens are gone, or the seconds to wait."""
        # what is owed of a slower rate is no more than this one asks
        held = min(self._full.get(key_id, 0.0), now + self._span)
        full = max(held, now) + self._cost * tokens
        wait = full - now - self._span
        if wait > 0:
            self._full[key_id] = held
            return wait
        self._full[key_id] = full
        return 0.0


def day_gate(tokens: int) -> RateGate:
    """So many a day, and as many at once."""
    return RateGate(tokens / 86400, tokens)
