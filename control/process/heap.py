"""What a storm of logins leaves in the heap of a gateway process goes back to the kernel."""

from __future__ import annotations

import ctypes

STEP = 1024
"""Connections that must have come or gone since the last time to make it worth while."""
CALM = STEP // 16
"""A smaller change from one look to the next counts as none."""
QUIET_S = 90.0
"""Seconds without a change: the storm is over."""


class Trimmer:
    """Calls malloc_trim(3) once after the number of connections has changed much and settled.

    For processes without the im role: their heap is some megabytes, so that the call, which holds the
    allocator's lock, takes about a millisecond.
    """

    def __init__(self) -> None:
        self._trimmed_at = 0
        self._last = 0
        self._changed_s = 0.0

    def look(self, connections: int, now_s: float) -> bool:
        """To be called about once a second. Returns True when the heap was trimmed."""
        if abs(connections - self._last) >= CALM:
            self._changed_s = now_s
        self._last = connections
        if now_s - self._changed_s < QUIET_S or abs(connections - self._trimmed_at) < STEP:
            return False
        self._trimmed_at = connections
        ctypes.CDLL(None).malloc_trim(0)
        return True
