"""The longest heartbeat interval that a network bears, found by trying. Decisions only: no clock, no I/O;
what is known of each network is a plain record that the client's store keeps.

    phase    beats at          leaves it
    VERIFY   the floor         after `verify_beats`: is the path healthy at all?     -> CLIMB at the start
    CLIMB    `interval_s`      `successes` in a row prove it: up, by `step`, then twice that and so on, once
                               an interval is refuted at most half-way to it; when they are a step apart,
                               or at the ceiling                                     -> SETTLED
                               `failures` refute it: on from what is proven
    SETTLED  what is proven    `failures`: the network has changed, nothing holds    -> CLIMB at the floor
             less the margin   after `reprobe_s` without a change                    -> CLIMB

What counts. A beat proves something only when the connection was silent for about the interval before it. A
death refutes one only when it is the network's doing: after a silence no shorter than the floor, no pong, and
online again over the same network within RECONNECT_S; else the network itself was gone, and nothing is
learned. Deaths are forgotten when the interval is proven, not by the next beat that succeeds: an interval
that dies one time in six is not one to sit on. Jitter shortens beats, so what is proven is the longest
silence that was really borne, and a network is not searched more exactly than the jitter.
"""

from __future__ import annotations

import dataclasses

import msgspec

from qianwan.connection.policy import Policy

MAX_NETWORKS = 20
RECONNECT_S = 10.0
"""A network that carries a new connection this soon after a death was not gone."""
FULL = 0.8
"""A gap of this share of the interval is a trial of it (jitter takes a fifth at most)."""
LATE = 1.1
"""A gap beyond this share is no trial of the interval: an alarm rang late."""
SAFE_SHARE = 0.25
"""The margin is never more than this share of an interval: a scaled policy stays a policy."""


class Network(msgspec.Struct):
    """What is known of one network. `proven_s`: the longest silence among the beats that proved an interval,
    `refuted_s` the shortest interval that was refuted above it, `ended_s` the ceiling at which the search
    ended, `longest_s` the longest silence of this trial (0: none). `changed_at`, `used_at`: seconds since
    1970.
    """

    interval_s: float = 0.0
    proven_s: float = 0.0
    refuted_s: float = 0.0
    ended_s: float = 0.0
    longest_s: float = 0.0
    stride_s: float = 0.0
    settled: bool = False
    verify: int = -1
    """beats at the floor that are still to come; -1: this network is new"""
    successes: int = 0
    failures: int = 0
    alive_s: float = 0.0
    """the longest silence that a connection outlived here"""
    changed_at: float = 0.0
    used_at: float = 0.0


@dataclasses.dataclass(frozen=True, slots=True)
class Suspicion:
    """A death that may be the network's doing, until a reconnect tells."""

    label: str
    interval_s: float
    at: float


class Search:
    """All networks of a client, the one it is on, and the interval to use there. `now`: seconds since
    1970."""

    def __init__(self, policy: Policy, networks: dict[str, Network] | None = None) -> None:
        self.policy = policy
        self.networks = {} if networks is None else networks
        self.label = ""
        self.changed = False
        """there is something new to be kept"""
        self._suspicion: Suspicion | None = None
        self._net = Network()

    def obey(self, policy: Policy, now: float) -> None:
        """Go on by other constants. What is known of the networks stays, within the new bounds."""
        restart = policy.start_s != self.policy.start_s
        self.policy = policy
        self.use(self.label, now)
        if policy.adaptive:
            net, start = self._net, policy.start_s
            if restart and not net.settled and start > net.proven_s and not 0 < net.refuted_s <= start:
                self._set(start, now)

    def use(self, label: str, now: float) -> None:
        """The client is on this network from now on."""
        if not self.policy.adaptive:
            if label != self.label:
                self._net = Network()
            self.label = label
            return
        self.label = label
        self._net = self.networks.setdefault(label, Network())
        self._net.used_at = now
        while len(self.networks) > MAX_NETWORKS:
            oldest = min(self.networks, key=lambda name: (name == label, self.networks[name].used_at))
            del self.networks[oldest]
        self._bound(now)

    @property
    def interval_s(self) -> float:
        """The interval to beat at."""
        policy = self.policy
        if not policy.adaptive:
            return policy.ping_interval_s
        return policy.floor_s if self._net.verify else self._net.interval_s

    @property
    def alive_s(self) -> float:
        return self._net.alive_s

    @property
    def settled(self) -> bool:
        return not self.policy.adaptive or (self._net.settled and not self._net.verify)

    def beat(self, gap_s: float, now: float) -> None:
        """A PING after `gap_s` of silence was answered."""
        net, policy = self._net, self.policy
        if gap_s > net.alive_s:
            net.alive_s, self.changed = gap_s, True
        if not policy.adaptive or gap_s < FULL * self.interval_s:
            return
        self.changed = True
        if net.verify:
            net.verify -= 1
            return
        if net.settled:
            net.successes += 1
            if net.successes >= policy.successes:
                net.successes = net.failures = 0
            if not 0 <= now - net.changed_at < policy.reprobe_s:
                net.refuted_s, net.stride_s = 0.0, policy.step_s
                self._climb(now)
            return
        net.successes += 1
        net.longest_s = max(net.longest_s, gap_s)
        if net.successes >= policy.successes:
            net.proven_s = max(net.proven_s, min(net.longest_s, net.interval_s))
            self._climb(now)

    def died(self, gap_s: float, now: float) -> None:
        """No pong came to a PING after `gap_s` of silence."""
        self._suspicion = None
        interval, policy = self.interval_s, self.policy
        if policy.adaptive and FULL * policy.floor_s <= gap_s <= LATE * interval + 1:
            self._suspicion = Suspicion(self.label, interval, now)

    def online(self, now: float) -> None:
        """A connection is logged in, over the network that `use` told."""
        suspicion, self._suspicion = self._suspicion, None
        if (
            suspicion is not None
            and suspicion.label == self.label
            and suspicion.interval_s == self.interval_s
            and 0 <= now - suspicion.at <= RECONNECT_S
        ):
            self._refuted(now)

    def _refuted(self, now: float) -> None:
        net, policy = self._net, self.policy
        net.successes = 0
        net.failures += 1
        self.changed = True
        if net.verify or net.failures < policy.failures:
            return
        interval = net.interval_s
        if net.settled or interval <= net.proven_s:
            # What was proven does not hold any more: another network under the same name, or a new NAT.
            net.proven_s, net.alive_s, net.settled = 0.0, 0.0, False
        net.refuted_s = interval if interval > policy.floor_s else 0.0
        if net.proven_s:
            self._climb(now)
        else:
            net.stride_s = policy.step_s
            self._set(policy.floor_s, now)

    def _climb(self, now: float) -> None:
        """The next interval to try after the proven one, or the end of the search."""
        net, policy = self._net, self.policy
        proven, refuted = net.proven_s, net.refuted_s
        step = max(policy.step_s, policy.jitter * proven)
        stride = max(step, net.stride_s)
        at_ceiling = net.interval_s >= policy.ceiling_s and not refuted
        net.settled = at_ceiling or 0 < refuted - proven <= step
        net.ended_s = policy.ceiling_s if at_ceiling else 0.0
        if net.settled:
            margin = 0.0 if at_ceiling else min(policy.margin_s, SAFE_SHARE * proven)
            self._set(max(policy.floor_s, proven - margin), now)
            return
        target = min(proven + stride, policy.ceiling_s)
        self._set(min(target, (proven + refuted) / 2) if refuted else target, now)
        net.stride_s = 2 * stride

    def _set(self, interval_s: float, now: float) -> None:
        net = self._net
        net.interval_s = interval_s
        net.successes = net.failures = 0
        net.longest_s = 0.0
        net.changed_at = now

    def _bound(self, now: float) -> None:
        """A new network gets its start; a known one comes into the bounds of the policy."""
        net, policy = self._net, self.policy
        if net.verify < 0:
            net.verify = policy.verify_beats
            self._set(policy.start_s, now)
            self.changed = True
        bounded = min(max(net.interval_s, policy.floor_s), policy.ceiling_s)
        if bounded != net.interval_s:
            if bounded > net.proven_s:
                net.settled = False
            net.proven_s = min(net.proven_s, bounded)
            net.ended_s = policy.ceiling_s if bounded == policy.ceiling_s else net.ended_s
            self._set(bounded, now)
            self.changed = True
        elif net.settled and 0 < net.ended_s < policy.ceiling_s:
            net.settled, self.changed = False, True  # it ended at a ceiling that is higher now
            net.stride_s = policy.step_s
