"""What a bad line does to packets, as pure decisions: no sockets and no clock of their own, so that tests run
hours of it in no time. The same seed does the same to the same packets.
"""

from __future__ import annotations

import math
import random
from collections import deque
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Line:
    """One direction of a link. A rate of 0 has no limit. Of two limits the tighter counts."""

    rate_kbit: float = 0.0
    delay_ms: float = 0.0
    jitter_ms: float = 0.0
    """as much more or less, evenly spread; packets stay in order all the same"""
    loss: float = 0.0
    burst_loss: float = 0.0
    """share lost while the line is bad (Gilbert-Elliott)"""
    burst_ms: float = 0.0
    """mean length of a bad time"""
    burst_every_ms: float = 0.0
    """mean time from one bad time to the next; 0: never bad"""
    reorder: float = 0.0
    """share that is held back for `reorder_ms` while later packets pass"""
    reorder_ms: float = 0.0
    duplicate: float = 0.0
    queue_packets: int = 1000
    queue_ms: float = 0.0
    """a packet that would wait for longer finds no room; 0: no matter how long"""

    def __post_init__(self) -> None:
        for name in ("loss", "burst_loss", "reorder", "duplicate"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} is a share between 0 and 1, not {getattr(self, name)}")
        for name in ("rate_kbit", "delay_ms", "jitter_ms", "burst_ms", "burst_every_ms", "reorder_ms"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} is {getattr(self, name)}: below 0")
        if self.burst_every_ms and self.burst_every_ms <= self.burst_ms:
            raise ValueError("bad times come less often than they last")


@dataclass(slots=True)
class Counts:
    """What was put on one direction of a link. Bytes with their IP and TCP headers."""

    packets: int = 0
    bytes: int = 0
    lost: int = 0
    overflowed: int = 0
    """of them for want of room in the queue"""


class Weather:
    """Good and bad times of a line, each of a random length."""

    def __init__(self, line: Line, rng: random.Random) -> None:
        self._rng = rng
        self._means = (line.burst_every_ms - line.burst_ms, line.burst_ms)
        self.bad = False
        self._until = self._next(0.0) if line.burst_every_ms else math.inf

    def _next(self, start_s: float) -> float:
        return start_s + self._rng.expovariate(1000 / max(self._means[self.bad], 1e-3))

    def at(self, now: float) -> bool:
        """Whether the line is bad now. Time does not go back."""
        while now >= self._until:
            self.bad = not self.bad
            self._until = self._next(self._until)
        return self.bad


class Shaper:
    """One direction of one phone's link."""

    def __init__(self, line: Line, rng: random.Random) -> None:
        self.line = line
        self.counts = Counts()
        self._rng = rng
        self._weather = Weather(line, rng)
        self._free_at = 0.0
        self._last_out = 0.0
        self._queue: deque[float] = deque()

    def take(self, now: float, size: int) -> tuple[float, ...]:
        """When a packet of `size` bytes comes out: once, twice if it is doubled, never if it is lost."""
        line, counts, queue = self.line, self.counts, self._queue
        counts.packets += 1
        counts.bytes += size
        while queue and queue[0] <= now:
            queue.popleft()
        leaves = now
        if line.rate_kbit:
            waits_s = max(0.0, self._free_at - now)
            if len(queue) >= line.queue_packets or 0 < line.queue_ms < waits_s * 1000:
                counts.lost += 1
                counts.overflowed += 1
                return ()
            leaves = self._free_at = now + waits_s + size * 8 / (line.rate_kbit * 1000)
            queue.append(leaves)
        if self._is_lost(now):
            counts.lost += 1
            return ()
        return self._arrivals(leaves)

    def become(self, line: Line) -> None:
        """Another line from now on. What is under way stays so."""
        self.line = line
        self._weather = Weather(line, self._rng)

    def drop(self, size: int) -> None:
        """Somebody cut the line: the packet was sent all the same."""
        self.counts.packets += 1
        self.counts.bytes += size
        self.counts.lost += 1

    def _is_lost(self, now: float) -> bool:
        share = self.line.burst_loss if self._weather.at(now) else self.line.loss
        return share > 0 and self._rng.random() < share

    def _arrivals(self, leaves: float) -> tuple[float, ...]:
        line, rng = self.line, self._rng
        jitter_s = rng.uniform(-line.jitter_ms, line.jitter_ms) / 1000 if line.jitter_ms else 0.0
        at = leaves + max(0.0, line.delay_ms / 1000 + jitter_s)
        if line.reorder and rng.random() < line.reorder:
            return (max(at, self._last_out) + line.reorder_ms / 1000,)
        at = self._last_out = max(at, self._last_out)
        if line.duplicate and rng.random() < line.duplicate:
            return at, at
        return (at,)
