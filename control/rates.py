"""How often each of many may ask, API keys and client addresses: bounded in time and in memory."""

from __future__ import annotations

from collections import OrderedDict


class Rates:
    """GCRA per name: `burst` at once, `per_s` in the long run. Who owes nothing is never refused, as nothing
    is compared but what is owed: no clock is so large that its rounding counts. Of more than `most` names the
    one that asked the longest ago is forgotten.
    """

    def __init__(self, per_s: float, burst: int, most: int) -> None:
        self.set(per_s, burst)
        self._most = most
        self._full: OrderedDict[str, float] = OrderedDict()  # name -> when all of its burst is back
        self.refused = 0

    def set(self, per_s: float, burst: int) -> None:
        """From now on; what is owed of a slower rate is no more than this one asks."""
        self._cost = 1.0 / per_s
        self._span = self._cost * burst

    def __len__(self) -> int:
        return len(self._full)

    def take(self, name: str, now: float, tokens: float = 1.0) -> float:
        """0.0 and it counts for so many, or the seconds to wait."""
        cost = self._cost * tokens
        owed = min(max(self._full.get(name, 0.0) - now, 0.0), self._span)
        wait = owed + cost - self._span
        if wait > 0:
            if owed:
                self._full[name] = now + owed
            self.refused += 1
            return wait
        self._full[name] = now + owed + cost
        self._full.move_to_end(name)
        if len(self._full) > self._most:
            self._full.popitem(last=False)
        return 0.0
