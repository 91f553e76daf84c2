"""The children of a supervisor, and what it shows of them."""

from __future__ import annotations

import mmap
import struct
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

RESTARTS = 5


RESTART_WINDOW_S = 60.0


RESTART_DELAY_S = 0.2  # a child that cannot live must not turn the supervisor into a busy loop


class Board:
    """What the supervisor knows, in memory it shares with the child that speaks HTTP: one cell per child."""

    CELL = struct.Struct("=iI")  # pid (0: away), restarts

    def __init__(self, children: int) -> None:
        self._map = mmap.mmap(-1, children * self.CELL.size)
        self._children = children

    def set(self, index: int, pid: int, restarts: int) -> None:
        self.CELL.pack_into(self._map, index * self.CELL.size, pid, restarts)

    def all(self) -> list[tuple[int, int]]:
        """(pid, restarts) of every child in order."""
        used = self._map[: self._children * self.CELL.size]
        return [(pid, restarts) for pid, restarts in self.CELL.iter_unpack(used)]


@dataclass
class Child:
    """One process to be kept alive. `life` runs in it and returns its exit code."""

    name: str
    life: Callable[[], int]
    pid: int = 0
    restarts: int = 0
    again_at: float | None = None  # monotonic seconds
    deaths: deque[float] = field(default_factory=deque)

    def died(self, now: float) -> bool:
        """Plan the next start. False when it has died too often: it waits for the window to pass."""
        self.pid = 0
        self.deaths.append(now)
        while now - self.deaths[0] > RESTART_WINDOW_S:
            self.deaths.popleft()
        often = len(self.deaths) > RESTARTS
        self.again_at = self.deaths[0] + RESTART_WINDOW_S if often else now + RESTART_DELAY_S
        return not often
