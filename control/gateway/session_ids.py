"""Session ids that order over the cluster: later logins have higher ids, so "before this session" has a
meaning.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from control.node_ids import MAX_NODE_ID, NODE_BITS

COUNTER_BITS = 12


class SessionIds:
    """unix milliseconds << 20 | counter (12 bits) << 8 | node id (8 bits).

    Never repeats and never goes back within a process, also when the clock does; unique between live nodes.
    """

    def __init__(self, node_id: int, clock: Callable[[], float] = time.time) -> None:
        if not 0 <= node_id <= MAX_NODE_ID:
            raise ValueError(f"node_id must fit in {NODE_BITS} bits")
        self._node_id = node_id
        self._clock = clock
        self._tick = 0

    def next(self) -> int:
        now = int(self._clock() * 1000) << COUNTER_BITS
        self._tick = max(self._tick + 1, now)
        return self._tick << NODE_BITS | self._node_id
