"""Which topics of this gateway have members, as the im processes must know it.

With one loop the core's events say it, and only their sum is kept here. With several loops a topic begins
with its first member on any loop and ends with its last on all, so the loops that have it are kept per topic,
in a table as compact as that of the routes.
"""

from __future__ import annotations

from control.logs import get_logger
from control.node_ids import Peer
from control.routing import make_routes, make_sum

log = get_logger("gateway")

ENDED, BEGAN, HELD = 0, 1, 2
"""What the core says of a topic (gateway_core, EV_TOPIC)."""
KEPT_EPOCH = 1
"""Of the loops in the table of a gateway with several: they live as long as it does."""


class Topics:
    """Guarantee: `sum` is what im processes heard, when each word of `changed` that was True is told to them.
    After `begin`, all that is `held`, and `end` it is the truth of the core, whatever was lost before.
    """

    def __init__(self, own: Peer, loops: int) -> None:
        self._own = own
        self._loops = make_routes() if loops > 1 else None
        if self._loops is not None:
            for loop in range(loops):
                self._loops.live(loop + 1, KEPT_EPOCH)
        self._repeated = make_routes()
        self._repeating = False
        self.sum = make_sum(*own)
        self.drifts = 0

    def changed(self, topic: str, loop: int, up: bool) -> bool:
        """An event of the core. True when the topic begins or ends for the process."""
        if self._loops is not None:
            before = self._loops.gateways(topic)
            (self._loops.announce if up else self._loops.withdraw)(loop + 1, KEPT_EPOCH, (topic,))
            if bool(before) == bool(self._loops.gateways(topic)):
                return False
        (self.sum.add if up else self.sum.remove)(topic)
        if self._repeating:
            (self._repeated.announce if up else self._repeated.withdraw)(*self._own, (topic,))
        return True

    def begin(self) -> None:
        """The core is about to repeat every topic."""
        self._repeated = make_routes()
        self._repeated.live(*self._own)
        self._repeating = True

    def held(self, topic: str) -> None:
        self._repeated.announce(*self._own, (topic,))

    def end(self) -> None:
        """It has."""
        found = self._repeated.held(*self._own)
        self._repeated, self._repeating = make_routes(), False
        if found is not None and found != (self.sum.count, self.sum.digest):
            self.drifts += 1
            log.error("topics were miscounted", counted=self.sum.count, held=found[0])
            self.sum.become(*found)

    def __len__(self) -> int:
        return self.sum.count
