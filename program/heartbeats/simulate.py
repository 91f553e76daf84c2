"""Every device with every rival, on a virtual clock: an idle phone in the background, its NAT, and the times
without a network. Beats that can change nothing are counted, not played.
"""

from __future__ import annotations

import dataclasses
import math
import random
from collections.abc import Callable, Sequence

from msgspec import Struct
from qianwan.connection.policy import Policy

from program.heartbeats.profile import Device, Profile
from program.heartbeats.rivals import MARS_2017, MARS_TODAY, Fixed, Halving, Mars, Ours, Rival

PONG_S = 8.0
RECONNECT_S = 1.0
BEAT_BYTES = 200
"""PING, PONG and the last ACK with their IP and TCP headers (IPv4, timestamps)."""
CONNECT_BYTES = 1000
"""TCP, handshake, login and the first answers."""
DAY_S = 86_400.0
NEAR = 0.75
FIXED_S = (30.0, 60.0, 270.0, 285.0)
WITHOUT_PRIOR = "ours"
WITH_PRIOR = "ours, with a prior"


@dataclasses.dataclass
class PhoneLife:
    """What one device had. Seconds; `silent` are those in which it was dead and did not know."""

    beats: int = 0
    deaths: int = 0
    outages: int = 0
    silent: list[float] = dataclasses.field(default_factory=list)
    reached_at: float | None = None
    """since when its interval is near the best"""
    interval_s: float = 0.0
    best_s: float = 0.0


class RivalCost(Struct, frozen=True):
    """Of all devices with one rival; per device and day, if not said otherwise. `reached`: the share whose
    beats at NEAR of the longest interval that lives were answered, after so many hours; `of_best`: the last
    interval as a share of the longest one."""

    name: str
    reached: float
    hours_p50: float
    hours_p90: float
    deaths: float
    beats: float
    wakeups: float
    kib: float
    noticed_s_p50: float
    noticed_s_p90: float
    offline_s: float
    interval_s: float
    of_best: float


Maker = Callable[[Device], Rival]


def rivals_for(policy: Policy, fixed: Sequence[float] = FIXED_S) -> dict[str, Maker]:
    """By name, in the order of the table."""
    policy = dataclasses.replace(policy, adaptive=True)

    def with_prior(device: Device) -> Rival:
        prior = device.prior_s or policy.ping_interval_s
        return Ours(
            dataclasses.replace(policy, ping_interval_s=prior, ceiling_s=max(prior, policy.ceiling_s))
        )

    def every(seconds: float) -> Maker:
        return lambda device: Fixed(seconds)

    return {
        **{f"every {seconds:g} s": every(seconds) for seconds in fixed},
        "Mars 2017": lambda device: Mars(MARS_2017),
        "Mars today": lambda device: Mars(MARS_TODAY),
        "binary search": lambda device: Halving(policy.floor_s, policy.ceiling_s, policy.step_s),
        WITHOUT_PRIOR: lambda device: Ours(policy),
        WITH_PRIOR: with_prior,
    }


class Run:
    """One device with one rival."""

    def __init__(
        self, device: Device, rival: Rival, span_s: float, longest_s: float, rng: random.Random
    ) -> None:
        self._longest = longest_s
        self._device = device
        self._rival = rival
        self._span = span_s
        self._rng = rng
        self._now = 0.0
        self._regime = 0
        self._outage = 0
        self.tally = PhoneLife()

    def play(self) -> PhoneLife:
        device, rival, tally = self._device, self._rival, self.tally
        while self._now < self._span:
            while (
                self._regime + 1 < len(device.regimes) and device.regimes[self._regime + 1].at_s <= self._now
            ):
                self._regime += 1
            timeout = device.regimes[self._regime].timeout_s
            self._leap(timeout)
            gap = rival.interval_s * (1 - rival.jitter * self._rng.random())
            ping = self._now + gap
            if ping >= self._span:
                break
            tally.beats += 1
            outage = self._next_outage()
            if outage is not None and outage[0] < ping:
                self._lost(outage, gap, ping, timeout)
            elif gap >= timeout:
                self._died(self._now + timeout, gap, ping + PONG_S)
            else:
                self._now = ping
                rival.answered(gap, ping)
                self._reached(gap, timeout)
        tally.interval_s = rival.interval_s
        tally.best_s = min(device.regimes[-1].timeout_s, self._longest)
        return tally

    def _reached(self, gap: float, timeout: float) -> None:
        if self.tally.reached_at is None and gap >= NEAR * min(timeout, self._longest):
            self.tally.reached_at = self._now

    def _leap(self, timeout: float) -> None:
        """Over beats whose answers are sure and change nothing, and over deaths of who never learns."""
        device, rival = self._device, self._rival
        until = min(self._span, rival.steady_until(self._now))
        if self._regime + 1 < len(device.regimes):
            until = min(until, device.regimes[self._regime + 1].at_s)
        outage = self._next_outage()
        if outage is not None:
            until = min(until, outage[0])
        interval = rival.interval_s
        if interval < timeout and rival.settled:
            count = max(0, math.floor((until - self._now) / interval) - 1)
            if count:
                self._reached(interval, timeout)
            self.tally.beats += count
            self._now += count * interval * (1 - rival.jitter / 2)
        elif isinstance(rival, Fixed):
            cycle = interval + PONG_S + RECONNECT_S
            count = max(0, math.floor((until - self._now) / cycle) - 1)
            self.tally.beats += count
            self.tally.deaths += count
            self.tally.silent += [interval + PONG_S - timeout] * count
            self._now += count * cycle

    def _next_outage(self) -> tuple[float, float] | None:
        outages = self._device.outages
        while self._outage < len(outages) and outages[self._outage][1] <= self._now:
            self._outage += 1  # over before it could be noticed
        return outages[self._outage] if self._outage < len(outages) else None

    def _died(self, since: float, gap: float, noticed: float) -> None:
        self.tally.deaths += 1
        self.tally.silent.append(noticed - since)
        self._rival.died(gap, noticed)
        self._now = noticed + RECONNECT_S
        self._rival.connected(self._now)

    def _lost(self, outage: tuple[float, float], gap: float, ping: float, timeout: float) -> None:
        """The network is gone for a while before the beat: it stays unanswered if it still is then, and the
        path may have been forgotten meanwhile."""
        begin, end = outage
        self._outage += 1
        if end <= ping and gap < timeout:
            self._now = ping
            self._rival.answered(gap, ping)
            return
        noticed = ping + PONG_S
        if end <= ping:
            self._died(min(begin, self._now + timeout), gap, noticed)
            return
        self.tally.outages += 1
        self.tally.silent.append(noticed - begin)
        self._rival.died(gap, noticed)
        self._now = max(noticed, end) + RECONNECT_S
        self._rival.connected(self._now)


def run(
    profile: Profile, devices: Sequence[Device], makers: dict[str, Maker], longest_s: float, seed: int
) -> tuple[list[RivalCost], dict[str, list[PhoneLife]]]:
    """Outcomes in the order of `makers`; the same for the same seed. `longest_s`: the policy's ceiling."""
    span_s = profile.days * DAY_S
    outcomes, tallies = [], {}
    for name, maker in makers.items():
        tallies[name] = [
            Run(device, maker(device), span_s, longest_s, random.Random(seed * 7_919 + n)).play()
            for n, device in enumerate(devices)
        ]
        outcomes.append(outcome_of(name, tallies[name], profile.days))
    return outcomes, tallies


def outcome_of(name: str, tallies: Sequence[PhoneLife], days: float) -> RivalCost:
    total = len(tallies) * days
    hours = sorted(tally.reached_at / 3600 for tally in tallies if tally.reached_at is not None)
    silent = sorted(seconds for tally in tallies for seconds in tally.silent)
    beats = sum(tally.beats for tally in tallies)
    deaths = sum(tally.deaths for tally in tallies)
    connects = deaths + sum(tally.outages for tally in tallies)
    return RivalCost(
        name=name,
        reached=len(hours) / len(tallies),
        hours_p50=_at(hours, 0.5),
        hours_p90=_at(hours, 0.9),
        deaths=deaths / total,
        beats=beats / total,
        wakeups=(beats + connects) / total,
        kib=(beats * BEAT_BYTES + connects * CONNECT_BYTES) / 1024 / total,
        noticed_s_p50=_at(silent, 0.5),
        noticed_s_p90=_at(silent, 0.9),
        offline_s=sum(silent) / total,
        interval_s=sum(tally.interval_s for tally in tallies) / len(tallies),
        of_best=sum(min(1.0, tally.interval_s / tally.best_s) for tally in tallies) / len(tallies),
    )


def _at(ordered: Sequence[float], share: float) -> float:
    """A quantile; 0 of nothing."""
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else 0.0
