"""Session ids that order over the cluster: later logins have higher ids, so "before this session" has a
meaning.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from control.node_ids import COUNTER_BITS, LOGINS_AHEAD, MAX_NODE_ID, NODE_BITS


class SessionIds:
    """unix milliseconds << 20 | counter (12 bits) << 8 | node id (8 bits).

    Never repeats and never goes back, also when a clock does: `heard` answers the latest login that anybody
    in the cluster has told of (an id without its node), and the next one is above it. What the life before
    told last is a little older than what it made last: where the clock does not see to it, this one begins
    above that by LOGINS_AHEAD. Unique between live nodes.
    """

    def __init__(
        self, node_id: int, clock: Callable[[], float] = time.time, heard: Callable[[], int] = lambda: 0
    ) -> None:
        if not 0 <= node_id <= MAX_NODE_ID:
            raise ValueError(f"node_id must fit in {NODE_BITS} bits")
        self._node_id = node_id
        self._clock = clock
        self._heard = heard
        self.latest = 0
        """login of the last id, without its node"""

    def next(self) -> int:
        now = int(self._clock() * 1000) << COUNTER_BITS
        heard = self._heard()
        if not self.latest and heard >= now:
            heard += LOGINS_AHEAD
        self.latest = max(max(self.latest, heard) + 1, now)
        return self.latest << NODE_BITS | self._node_id

    @property
    def above(self) -> int:
        """Higher than every id given here so far, and not than the next one."""
        return (self.latest + 1) << NODE_BITS
