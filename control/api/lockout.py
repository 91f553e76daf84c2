"""Who guesses API keys is locked out: each network, and each (network, key id), for a time that doubles.

The lock is for wrong keys alone: whoever has the right secret, which has 256 random bits, is let in whatever
others guessed before it, from the same balancer or NAT too. So guessing costs nobody their key.
"""

from __future__ import annotations

import ipaddress
from collections import OrderedDict
from dataclasses import dataclass
from typing import TypeAlias

ENTRIES = 8192
"""Remembered at most. Beyond: who failed longest ago is forgotten."""
DOUBLINGS = 6
"""A lock grows to 64 times its first length."""
ANY = ""
"""In the place of a key id: the network as a whole."""

Place: TypeAlias = tuple[str, str]
"""(network, key id or ANY)."""


@dataclass(slots=True)
class _Failures:
    count: int = 0
    last: float = 0.0
    until: float = 0.0
    locks: int = 0


class Lockout:
    """`failures` wrong keys of one id from one network, or five times as many of any ids, lock for `lock_s`
    seconds, twice as long at each further time; whoever fails no more for ten times `lock_s` starts anew.
    Times are monotonic seconds. `failures` 0: nobody is ever locked.
    """

    def __init__(self, failures: int, lock_s: float) -> None:
        self.set(failures, lock_s)
        self._failed: OrderedDict[Place, _Failures] = OrderedDict()
        self.failed_total = 0
        self.locked_total = 0
        self.refused_total = 0

    def set(self, failures: int, lock_s: float) -> None:
        """From now on; locks that hold keep their length."""
        self._failures = failures
        self._lock_s = lock_s
        self._forget_s = 10 * lock_s

    def wait(self, address: str, key_id: str, now: float) -> float:
        """0.0, or the seconds for which no wrong key of this id is counted from there."""
        if not self._failures:
            return 0.0
        network = network_of(address)
        wait = self._left((network, key_id), now) or self._left((network, ANY), now)
        self.refused_total += wait > 0
        return wait

    def failed(self, address: str, key_id: str, now: float) -> None:
        self.failed_total += 1
        network = network_of(address)
        self._count((network, key_id), self._failures, now)
        self._count((network, ANY), 5 * self._failures, now)

    def stats(self, now: float) -> dict[str, int]:
        return {
            "failures_total": self.failed_total,
            "locks_total": self.locked_total,
            "refused_total": self.refused_total,
            "locked": sum(entry.until > now for entry in self._failed.values()),
        }

    def _left(self, place: Place, now: float) -> float:
        entry = self._failed.get(place)
        return max(0.0, entry.until - now) if entry is not None else 0.0

    def _count(self, place: Place, most: int, now: float) -> None:
        entry = self._failed.pop(place, None)
        if entry is None or now - max(entry.last, entry.until) > self._forget_s:
            entry = _Failures()
        self._failed[place] = entry
        if len(self._failed) > ENTRIES:
            self._failed.popitem(last=False)
        entry.last = now
        entry.count += 1
        if self._failures and entry.count >= most:
            entry.until = now + self._lock_s * 2 ** min(entry.locks, DOUBLINGS)
            entry.count, entry.locks = 0, entry.locks + 1
            self.locked_total += 1


def network_of(address: str) -> str:
    """The address, or its /64: whoever has one IPv6 address has that many."""
    try:
        found = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(found, ipaddress.IPv4Address):
        return str(found)
    if found.ipv4_mapped is not None:
        return str(found.ipv4_mapped)
    return str(ipaddress.ip_network((found, 64), strict=False))
