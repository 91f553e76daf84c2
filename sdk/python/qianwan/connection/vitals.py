"""What a client knows of its connection's health, over all its connections: the policy it goes by, the search
for the interval, how the last connection ended, the network and the state of the app. It fills REPORT and
shows the application the quality of its connection.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Mapping
from typing import NamedTuple

from qianwan.connection.heartbeat import Heartbeat
from qianwan.connection.policy import Policy
from qianwan.connection.search import Network, Search
from qianwan.constants import DeathCause

WORD_MAX = 32
NETS = frozenset({"wifi", "2g", "3g", "4g", "5g", "ethernet", "other"})


SILENT = frozenset({DeathCause.PONG_TIMEOUT, DeathCause.RESET})
"""While a PING waits for its answer these may be the end of an entry in a NAT's table."""


class Quality(NamedTuple):
    """The connection as of now. Seconds; None where nothing is known yet."""

    online: bool
    round_trip_s: float | None
    """smoothed, of PING and PONG"""
    last_read_s: float | None
    """since the last byte of the server"""
    interval_s: float
    """the heartbeat interval in use"""
    settled: bool
    """the search for it is over"""
    network: str
    """what the interval is learned for"""
    resumed: bool
    """this connection goes on with the session of the one before it"""
    reconnects: int
    """logins after the first one"""


class Vitals:
    """`clock`: monotonic seconds; `wall`: seconds since 1970. `networks` is where what is learned stays."""

    def __init__(
        self,
        base: Policy,
        rng: random.Random,
        *,
        clock: Callable[[], float],
        wall: Callable[[], float],
        networks: dict[str, Network] | None = None,
        version: str = "",
    ) -> None:
        self._base = base
        self._rng = rng
        self._clock = clock
        self._wall = wall
        self._version = _word(version)
        self.policy = base
        self.search = Search(base, networks)
        self.search.use("", wall())
        self.obeyed: Callable[[Policy], None] = lambda _: None
        """hears each policy that a server tells"""
        self.net = self.carrier = self.region = ""
        self.foreground: bool | None = None
        self._told = False
        self._beat: Heartbeat | None = None
        self._born = 0.0
        self._limit = math.inf
        self.last: dict[str, int] = {}
        """how the last connection ended, as REPORT tells it, once"""
        self.logins = 0
        self.resumed = False
        """the connection of now goes on with the session of the one before it"""

    # the policy

    def obey(self, policy: Mapping[str, object]) -> None:
        """A POLICY of the server, or one of an earlier run."""
        self._take(self._base.told(policy))
        self._told = True
        self.obeyed(self.policy)

    def expired(self) -> None:
        """It was not told again for too long."""
        self._told = False
        self._take(self._base)
        self.obeyed(self.policy)

    def _take(self, policy: Policy) -> None:
        self.policy = policy
        self.search.obey(policy, self._wall())
        if self._beat is not None:
            self._beat.policy = policy
        self._set_interval()

    # the network and the app

    @property
    def label(self) -> str:
        return self.search.label

    def network(self, net: str, carrier: str, region: str, name: str) -> bool:
        """The client is on this network. Says whether it is another one than before."""
        self.net, self.carrier, self.region = net, _word(carrier), _word(region)
        label = "/".join(part for part in (net, carrier, name) if part)
        changed = label != self.label
        self.search.use(label, self._wall())
        self._set_interval()
        return changed

    def app(self, foreground: bool) -> None:
        self.foreground = foreground
        if self._beat is not None:
            self._beat.foreground = foreground

    # one connection after the other

    def begin(self, told_s: float, *, proxied: bool, resumed: bool = False) -> Heartbeat:
        """A connection is logged in; its heartbeat. `told_s` is the interval of AUTH_OK; `proxied`: the
        server knows of something on the way that closes what is silent, and pings by itself."""
        now = self._clock()
        if told_s > 0 and not self._told:
            self._base = self._base.told({"ping_interval_s": told_s})
            self._take(self._base)
        self.search.online(self._wall())
        expected = told_s if told_s > 0 else self.policy.ping_interval_s
        self._limit = expected if proxied else math.inf
        beat = Heartbeat(self._interval(), now, self._rng, self.policy, expected)
        beat.foreground = self.foreground
        self._beat, self._born = beat, now
        self.logins += 1
        self.resumed = resumed
        return beat

    def _interval(self) -> float:
        return min(self.search.interval_s, self._limit)

    def _set_interval(self) -> None:
        if self._beat is not None and self._beat.interval_s != self._interval():
            self._beat.set_interval(self._interval())

    def ponged(self, beat: Heartbeat, now: float) -> None:
        gap = beat.ponged(now)
        if gap is not None and beat is self._beat:
            self.search.beat(gap, self._wall())
            self._set_interval()

    def ended(self, beat: Heartbeat, cause: DeathCause) -> None:
        """The connection of this heartbeat is over."""
        if beat is not self._beat:
            return
        now = self._clock()
        self._beat = None
        gap = beat.gap_s if beat.waiting else now - max(beat.written, beat.last_read)
        if cause in SILENT and beat.waiting:
            self.search.died(gap, self._wall())
        self.last = {
            "cause": int(cause),
            "gap_ms": round(gap * 1000),
            "lived_ms": round((now - self._born) * 1000),
            "alive_ms": round(self.search.alive_s * 1000),
        }

    # what others see

    def report(self) -> dict[str, object]:
        """The map of a REPORT, but for `last`."""
        words = {"net": self.net, "carrier": self.carrier, "region": self.region, "version": self._version}
        said: dict[str, object] = {name: word for name, word in words.items() if word}
        if self.foreground is not None:
            said["app"] = 0 if self.foreground else 1
        said["policy_rev"] = self.policy.rev
        said["interval_s"] = round(self.search.interval_s)
        return said

    def quality(self) -> Quality:
        beat = self._beat
        return Quality(
            online=beat is not None,
            round_trip_s=beat.round_trip_s if beat is not None else None,
            last_read_s=self._clock() - beat.last_read if beat is not None else None,
            interval_s=self._interval(),
            settled=self.search.settled,
            network=self.label,
            resumed=self.resumed and beat is not None,
            reconnects=max(0, self.logins - 1),
        )


def _word(text: str) -> str:
    """As much of it as a REPORT takes."""
    return text.encode()[:WORD_MAX].decode(errors="ignore")
