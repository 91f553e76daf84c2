"""What steers a client's connection: the policy of the servers' operators, what the application says of the
network and of itself, and what is reported of it.
"""

from __future__ import annotations

import asyncio
import dataclasses
import random
import time

from qianwan.connection.dial import Dialer
from qianwan.connection.link import Link
from qianwan.connection.policy import Policy
from qianwan.connection.reconnect import Reconnector
from qianwan.connection.supervisor import Supervisor
from qianwan.connection.vitals import Vitals
from qianwan.constants import DeathCause, FrameType
from qianwan.delivery.store import Keeper
from qianwan.protocol.messages import encode


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class SteeringSettings:
    """`policy`: what the client goes by until a server says otherwise. `keep_backoff`: the application has
    chosen its back-off itself. `version`: of the app, for the rules of policies."""

    policy: Policy
    keep_backoff: bool = False
    version: str = ""


class Steering:
    """Built inside a running loop. `drive` says what it steers."""

    def __init__(self, settings: SteeringSettings, keeper: Keeper, rng: random.Random) -> None:
        self._keep_backoff = settings.keep_backoff
        self._keeper = keeper
        self._reported: dict[str, object] = {}
        self._link: Link | None = None
        self.vitals = Vitals(
            settings.policy,
            rng,
            clock=asyncio.get_running_loop().time,
            wall=time.time,
            networks=keeper.position.networks,
            version=settings.version,
        )

    def drive(self, dialer: Dialer, reconnector: Reconnector, supervisor: Supervisor) -> None:
        """A policy of an earlier run holds on, for as long as it said."""
        self._dialer, self._reconnector, self._supervisor = dialer, reconnector, supervisor
        self.vitals.obeyed = self._obeyed
        supervisor.obey(self.vitals.policy)
        position = self._keeper.position
        if position.policy:
            self.vitals.obey(position.policy)
            ttl_s = self.vitals.policy.ttl_s
            if ttl_s and not 0 <= time.time() - position.policy_at < ttl_s:
                self.vitals.expired()

    def _obeyed(self, policy: Policy) -> None:
        self._dialer.obey(policy)
        self._supervisor.obey(policy)
        if not self._keep_backoff:
            self._reconnector.obey(policy)

    def told(self, policy: dict[str, object]) -> None:
        """A server said a POLICY, which the vitals obey already."""
        position = self._keeper.position
        position.policy, position.policy_at = policy, time.time()
        self._keeper.dirty = True

    def online(self, link: Link) -> None:
        """Logged in: the first thing to say is how this client fares."""
        self._link = link
        self._reported = {}
        self._keeper.position.policy_at = time.time()
        self.tick()

    def offline(self) -> None:
        self._link = None

    def tick(self) -> None:
        """Once a second: report what has changed, note what was learned."""
        link, search = self._link, self.vitals.search
        if search.changed:
            search.changed, self._keeper.dirty = False, True
        if link is None or not link.alive:
            return
        report = self.vitals.report()
        if report != self._reported:
            self._reported = dict(report)
            if self.vitals.last:
                report["last"], self.vitals.last = self.vitals.last, {}
            link.write(FrameType.REPORT, encode(report))

    # what the application says

    def network_changed(self, net: str, carrier: str, region: str, name: str) -> None:
        """What was connected over another network is dead: connect again at once."""
        if self.vitals.network(net, carrier, region, name):
            if self._link is not None:
                self._link.abort(DeathCause.NETWORK_CHANGED, "the network changed")
            self._supervisor.hurry()
        self.tick()

    def app_state(self, foreground: bool) -> None:
        """When somebody looks it is asked at once whether the connection lives."""
        came = foreground and self.vitals.foreground is not True
        self.vitals.app(foreground)
        self.tick()
        if self._link is None:
            if came:
                self._supervisor.hurry()
        elif came:
            self._link.ping()
        else:
            self._link.beats_anew()
