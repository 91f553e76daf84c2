"""Session ids that order over the cluster: later logins have higher ids, so "before this session" has a
meaning.
"""

from __future__ import annotations

import time
from bisect import bisect_right
from collections.abc import Callable

from control.node_ids import COUNTER_BITS, LOGINS_AHEAD, MAX_NODE_ID, NODE_BITS

STEP_MS = 1000
"""Of what is remembered of ids that are ahead of the clock."""
REMEMBERED = 4096


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
        self._ahead: list[tuple[int, int]] = []  # from this login on: made at these ms; 0: as it says
        self.latest = 0
        """login of the last id, without its node"""

    def next(self) -> int:
        now_ms = int(self._clock() * 1000)
        now = now_ms << COUNTER_BITS
        heard = self._heard()
        if not self.latest and heard >= now:
            heard += LOGINS_AHEAD
        self.latest = max(max(self.latest, heard) + 1, now)
        self._remember(now_ms)
        return self.latest << NODE_BITS | self._node_id

    def made_ms(self, session: int) -> int:
        """Unix milliseconds at which this id was given here: those in it, or within STEP_MS where it is ahead
        of the clock, as after a start.
        """
        login = session >> NODE_BITS
        place = bisect_right(self._ahead, login, key=lambda each: each[0]) - 1
        return (self._ahead[place][1] if place >= 0 else 0) or login >> COUNTER_BITS

    def _remember(self, now_ms: int) -> None:
        known = self._ahead[-1][1] if self._ahead else 0
        if self.latest >> COUNTER_BITS <= now_ms:
            if known:
                self._ahead.append((self.latest, 0))
        elif abs(now_ms - known) >= STEP_MS:
            self._ahead.append((self.latest, now_ms))
        if len(self._ahead) > REMEMBERED:
            del self._ahead[0]

    @property
    def above(self) -> int:
        """Higher than every id given here so far, and not than the next one."""
        return (self.latest + 1) << NODE_BITS
