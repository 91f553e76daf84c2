"""Whether the routes are what the gateways say they must be: by sums, never by names.

A gateway that this process knows all topics of tells, every few seconds and in the order of its stream, how
many they are and the sum of their digests, and how many connections it has (streams.operations.Tally). The
topics must be those that the routing table holds of it at that point of the stream. When they are not, the
gateway is asked to repeat everything: that heals any difference, whatever it came from.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping

import msgspec

from control.logs import get_logger
from control.node_ids import Peer
from control.routing.base import Routes
from control.streams.operations import Tally

log = get_logger("im")

ASK_AGAIN_S = 30.0
"""After a gateway was asked to repeat everything it is not asked for this long, twice that the next time, and
so on up to MOST_S, until it was right once: what a repetition does not heal must not become a storm."""
MOST_S = 3600.0
KEPT = 3
"""Words of a gateway that are remembered: those of one number, at all im processes, were said at once."""


class Word(msgspec.Struct, frozen=True):
    """A tally of a gateway, and what this process had of it then. `routes` is None while the gateway repeats
    all its topics; `registered` are its sessions that logged in here."""

    tally: Tally
    routes: tuple[int, int] | None
    registered: int
    at: float

    @property
    def equal(self) -> bool | None:
        """None: not known, the gateway repeats its topics."""
        return None if self.routes is None else self.routes == (self.tally.topics, self.tally.digest)


class RouteCheck:
    """`repair(gateway)` asks it to repeat everything; `registered(*peer)` counts its sessions here; `clock`
    is monotonic seconds."""

    def __init__(
        self,
        routes: Routes,
        registered: Callable[[int, int], int],
        repair: Callable[[int], None],
        clock: Callable[[], float],
    ) -> None:
        self._routes = routes
        self._registered = registered
        self._repair = repair
        self._clock = clock
        self._words: dict[Peer, deque[Word]] = {}
        self._asked: dict[int, tuple[float, float]] = {}  # gateway -> not again before, the pause after that
        self.compared = 0
        self.unequal = 0

    def told(self, peer: Peer, tally: Tally) -> None:
        now = self._clock()
        word = Word(tally, self._routes.held(*peer), self._registered(*peer), now)
        self._words.setdefault(peer, deque(maxlen=KEPT)).append(word)
        if word.routes is None:
            return
        self.compared += 1
        if word.equal:
            self._asked.pop(peer[0], None)
            return
        self.unequal += 1
        not_before, pause = self._asked.get(peer[0], (now, ASK_AGAIN_S))
        if now >= not_before:
            told, held = tally.topics, word.routes[0]
            log.error("routes differ from a gateway's topics", peer_id=peer[0], topics=told, routes=held)
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
        self._words.pop(peer, None)
        self._asked.pop(peer[0], None)

    def words(self) -> dict[Peer, list[Word]]:
        """The last ones of each gateway, oldest first; `at` is their age."""
        now = self._clock()
        return {
            peer: [msgspec.structs.replace(word, at=round(now - word.at, 3)) for word in words]
            for peer, words in self._words.items()
        }

    def stats(self) -> Mapping[str, int]:
        """Of the last words: sessions in the cores of gateways, those that im processes were told of, and
        those that this one has."""
        last = [words[-1] for words in self._words.values()]
        return {
            "compared": self.compared,
            "unequal": self.unequal,
            "differing": self.differing(),
            "open": sum(word.tally.open for word in last),
            "told": sum(word.tally.sessions for word in last),
            "registered": sum(word.registered for word in last),
        }

    def differing(self) -> int:
        """Gateways whose last word was not what the table held."""
        return sum(words[-1].equal is False for words in self._words.values())
