"""How often one client address may ask: bounded in time and, as addresses are without number, in memory."""

from __future__ import annotations

from collections import OrderedDict


class AddressRates:
    """GCRA per address: `burst` at once, `per_s` in the long run. Of more than `most` addresses the one that
    asked the longest ago is forgotten.
    """

    def __init__(self, per_s: float, burst: int, most: int) -> None:
        self.set(per_s, burst)
        self._most = most
        self._full: OrderedDict[str, float] = OrderedDict()
        self.refused = 0

    def set(self, per_s: float, burst: int) -> None:
        """From now on; what an address owes of a slower rate is no more than this one asks."""
        self._cost = 1.0 / per_s
        self._span = self._cost * burst

    def __len__(self) -> int:
        return len(self._full)

    def take(self, address: str, now: float) -> float:
        """0.0 and it counts, or the seconds to wait."""
        held = min(self._full.get(address, 0.0), now + self._span)
        full = max(held, now) + self._cost
        wait = full - now - self._span
        if wait > 0:
            self._full[address] = held
            self.refused += 1
            return wait
        self._full[address] = full
        self._full.move_to_end(address)
        if len(self._full) > self._most:
            self._full.popitem(last=False)
        return 0.0
