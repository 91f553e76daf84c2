"""Session ids that order over the cluster: later logins have higher ids, so "before this session" has a
meaning.
"""

from __future__ import annotations

import time
from collections.abc import Callable


class SessionIds:
    """unix milliseconds << 20 | counter (12 bits) << 8 | node id (8 bits).

    Never repeats and never goes back within a process, also when the clock does; unique between live nodes.
    """

    def __init__(self, node_id: int, clock: Callable[[], float] = time.time) -> None:
        if not 0 <= node_id <= 0xFF:
            raise ValueError("node_id must fit in 8 bits")
        self._node_id = node_id
        self._clock = clock
        self._tick = 0

    def next(self) -> int:
        now = int(self._clock() * 1000) << 12
        self._tick = max(self._tick + 1, now)
        return self._tick << 8 | self._node_id
