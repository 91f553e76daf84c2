"""How far the clocks of processes lie apart, as their beacons tell them.

A beacon comes late by an unknown time and never early, so of the last few of a process the one that came
soonest says most. Clocks are kept as their distance to this process's monotonic one, so that a wall clock
that is set here moves away from all others at once.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable

KEPT = 5
"""Beacons of a process; one whose clock was set back is seen there after so many."""


class Clocks:
    """`wall` is the clock that beacons tell, `steady` one that nobody sets."""

    def __init__(
        self, wall: Callable[[], float] = time.time, steady: Callable[[], float] = time.monotonic
    ) -> None:
        self._wall = wall
        self._steady = steady
        self._heard: dict[int, deque[float]] = {}
        self._ahead: dict[int | None, tuple[float, float]] | None = None

    def now(self) -> float:
        """What a beacon tells."""
        self._ahead = None
        return self._wall()

    def hear(self, node_id: int, told: float) -> None:
        """What its clock showed when it spoke; 0: it did not say."""
        if told:
            self._heard.setdefault(node_id, deque(maxlen=KEPT)).append(told - self._steady())
            self._ahead = None

    def forget(self, node_id: int) -> None:
        self._heard.pop(node_id, None)
        self._ahead = None

    def ahead_s(self, node_id: int | None = None) -> float:
        """Seconds that the clock of a process (None: this one) is ahead of the median of all, behind where
        negative; of one that did not tell it, 0. Of an even number the median is anywhere between two: the
        farther counts.
        """
        return self._looked().get(node_id, (0.0, 0.0))[0]

    def surely_ahead_s(self, node_id: int | None = None) -> float:
        """The same, and the nearer counts: two clocks that differ do not say which one is wrong."""
        return self._looked().get(node_id, (0.0, 0.0))[1]

    def _looked(self) -> dict[int | None, tuple[float, float]]:
        """Since the last beacon."""
        if self._ahead is None:
            at: dict[int | None, float] = {node_id: max(heard) for node_id, heard in self._heard.items()}
            at[None] = self._wall() - self._steady()
            order = sorted(at.values())
            low, high = order[(len(order) - 1) // 2], order[len(order) // 2]
            self._ahead = {node_id: _apart(one, low, high) for node_id, one in at.items()}
        return self._ahead


def _apart(at: float, low: float, high: float) -> tuple[float, float]:
    both = (at - low, at - high)
    return max(both, key=abs), 0.0 if low <= at <= high else min(both, key=abs)


def said(ahead_s: float) -> str:
    return f"{abs(ahead_s):.1f} s {'ahead of' if ahead_s > 0 else 'behind'} those of the other processes"
