"""What was sent, what arrived, and when: every message of a run by its name."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field

Times = dict[str, float]
SHARES = {"p50": 0.5, "p90": 0.9, "p99": 0.99, "max": 1.0}


def percentiles(seconds: Sequence[float]) -> Times:
    """In milliseconds; zeros when there is nothing."""
    ordered = sorted(seconds)
    if not ordered:
        return dict.fromkeys(SHARES, 0.0)
    return {
        name: round(ordered[max(0, math.ceil(share * len(ordered)) - 1)] * 1000, 1)
        for name, share in SHARES.items()
    }


@dataclass(slots=True)
class Ledger:
    """Latency runs from when a message was due, so a sender that is late makes nothing look better."""

    clock: Callable[[], float] = time.monotonic
    due: dict[str, float] = field(default_factory=dict)
    came: dict[str, float] = field(default_factory=dict)
    doubled: int = 0
    foreign: int = 0
    bytes_sent: int = 0
    probes: set[str] = field(default_factory=set)
    """names of messages that only ask whether somebody is there again; they may be lost"""

    def sent(self, name: str, due: float, size: int) -> None:
        self.due[name] = due
        self.bytes_sent += size

    def arrived(self, name: str) -> None:
        if name not in self.due:
            self.foreign += 1
        elif name in self.came:
            self.doubled += 1
        else:
            self.came[name] = self.clock()

    def missing(self, names: Collection[str] | None = None) -> list[str]:
        wanted = self.due.keys() - self.probes if names is None else names
        return [name for name in wanted if name not in self.came]

    def latency(self) -> list[float]:
        return [at - self.due[name] for name, at in self.came.items()]


@dataclass(slots=True)
class Drop:
    """One time that a phone was away: from when its network was back. None: not within the time given."""

    first_s: float | None = None
    """until a message of somebody else arrived"""
    online_s: float | None = None
    """until it counted as connected"""
    all_s: float | None = None
    """until everything that had waited had arrived, both ways"""
