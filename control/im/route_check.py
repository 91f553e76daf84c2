"""Whether the routes are what the gateways say they must be: by sums, never by names.

A gateway that this process knows all topics of tells, every few seconds and in the order of its stream, how
many they are and the sum of their digests (streams.operations.TopicsAre). Both must be equal to what the
routing table holds of it at that point of the stream. When they are not, the gateway is asked to repeat
everything: that heals any difference, whatever it came from.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from control.logs import get_logger
from control.node_ids import Peer
from control.routing.base import Routes

log = get_logger("im")

ASK_AGAIN_S = 30.0
"""After a gateway was asked to repeat everything it is not asked for this long, twice that the next time, and
so on up to MOST_S, until it was right once: what a repetition does not heal must not become a storm."""
MOST_S = 3600.0

Sum = tuple[int, int]


class GatewayRoutes(msgspec.Struct, frozen=True):
    """The last comparison. `held` is what the table has: None while the gateway repeats everything."""

    node_id: int
    epoch: int
    told: Sum
    held: Sum | None
    age_s: float

    @property
    def equal(self) -> bool:
        return self.told == self.held


class RouteCheck:
    """`repair(gateway)` asks it to repeat everything; `clock` is monotonic seconds."""

    def __init__(self, routes: Routes, repair: Callable[[int], None], clock: Callable[[], float]) -> None:
        self._routes = routes
        self._repair = repair
        self._clock = clock
        self._last: dict[Peer, tuple[Sum, Sum | None, float]] = {}
        self._asked: dict[int, tuple[float, float]] = {}  # gateway -> not again before, the pause after that
        self.compared = 0
        self.unequal = 0

    def told(self, peer: Peer, said: Sum) -> None:
        held, now = self._routes.held(*peer), self._clock()
        self._last[peer] = (said, held, now)
        if held is None:
            return
        self.compared += 1
        if held == said:
            self._asked.pop(peer[0], None)
            return
        self.unequal += 1
        not_before, pause = self._asked.get(peer[0], (now, ASK_AGAIN_S))
        if now >= not_before:
            log.error("routes differ from a gateway's topics", peer_id=peer[0], told=said[0], held=held[0])
            self._asked[peer[0]] = (now + pause, min(2 * pause, MOST_S))
            self._repair(peer[0])

    def asked(self, gateway: int) -> None:
        """It was asked for another reason: what it says before it has repeated everything is no news."""
        self._asked.setdefault(gateway, (self._clock() + ASK_AGAIN_S, ASK_AGAIN_S))

    def repeated(self, gateway: int) -> None:
        """It has repeated everything: it may be asked at once when that was asked for another reason."""
        if self._asked.get(gateway, (0.0, 0.0))[1] == ASK_AGAIN_S:
            del self._asked[gateway]

    def gone(self, peer: Peer) -> None:
        self._last.pop(peer, None)
        self._asked.pop(peer[0], None)

    def report(self) -> list[GatewayRoutes]:
        now = self._clock()
        return [
            GatewayRoutes(*peer, told, held, round(now - at, 3))
            for peer, (told, held, at) in sorted(self._last.items())
        ]

    def differing(self) -> int:
        """Gateways whose last word was not what the table held."""
        return sum(held is not None and told != held for told, held, _ in self._last.values())
