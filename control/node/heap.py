"""What a storm of logins leaves in the heap of a gateway process goes back to the kernel."""

from __future__ import annotations

import ctypes

STEP = 1024
"""Connections that must have come or gone since the last time to make it worth while."""
CALM = STEP // 16
"""A smaller change from one look to the next counts as none."""
QUIET_LOOKS = 90
"""Looks without a change in a row: the storm is over, and the bus has forgotten what it kept for repair."""


class Trimmer:
    """Calls malloc_trim(3) once after the number of connections has changed much and settled.

    For processes without the im role: their heap is some megabytes, so that the call, which holds the
    allocator's lock, takes about a millisecond.
    """

    def __init__(self) -> None:
        self._trimmed_at = 0
        self._last = 0
        self._quiet = 0

    def look(self, connections: int) -> bool:
        """To be called at each housekeeping. Returns True when the heap was trimmed."""
        self._quiet = self._quiet + 1 if abs(connections - self._last) < CALM else 0
        self._last = connections
        if self._quiet < QUIET_LOOKS or abs(connections - self._trimmed_at) < STEP:
            return False
        self._trimmed_at = connections
        ctypes.CDLL(None).malloc_trim(0)
        return True
