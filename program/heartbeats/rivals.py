"""Ways to choose the interval. Each hears of its beats and says the next interval; none knows the network.

The search of the SDK is the SDK's own module. Mars is written from the constants and rules of its sources
of 2025, for an app in the background.
"""

from __future__ import annotations

import dataclasses
from typing import Protocol

from qianwan.connection.policy import Policy
from qianwan.connection.search import Search

NEVER_S = 1e12
EPOCH_S = 1e9
"""The virtual clock of a `Search` begins here: it knows no moment before 1970."""


class Rival(Protocol):
    """`steady_until(now)`: as long as beats are answered, nothing changes before that moment."""

    @property
    def interval_s(self) -> float: ...

    @property
    def jitter(self) -> float: ...

    @property
    def settled(self) -> bool: ...

    def steady_until(self, now: float) -> float: ...

    def answered(self, gap_s: float, now: float) -> None: ...

    def died(self, gap_s: float, now: float) -> None: ...

    def connected(self, now: float) -> None:
        """Logged in again."""


class Fixed:
    """One number for everybody."""

    jitter = 0.0
    settled = True

    def __init__(self, interval_s: float) -> None:
        self.interval_s = interval_s

    def steady_until(self, now: float) -> float:
        return NEVER_S

    def answered(self, gap_s: float, now: float) -> None: ...

    def died(self, gap_s: float, now: float) -> None: ...

    def connected(self, now: float) -> None: ...


@dataclasses.dataclass(frozen=True)
class MarsRules:
    floor_s: float
    ceiling_s: float
    successes: int
    failures: int
    step_s: float = 60.0
    margin_s: float = 20.0
    verify: int = 3
    reprobe_s: float = 7 * 86_400.0


MARS_2017 = MarsRules(270.0, 600.0, successes=3, failures=3)
MARS_TODAY = MarsRules(210.0, 600.0, successes=5, failures=2)


class Mars:
    """Its smart heartbeat: a fixed step up, a step and the margin down, the floor first after each login."""

    jitter = 0.0

    def __init__(self, rules: MarsRules) -> None:
        self._rules = rules
        self._learned = rules.floor_s
        self.stable = False
        self._good = self._bad = 0
        self._verify = rules.verify
        self._changed = 0.0

    @property
    def settled(self) -> bool:
        return self.stable and not self._verify

    @property
    def interval_s(self) -> float:
        return self._rules.floor_s if self._verify else self._learned

    def steady_until(self, now: float) -> float:
        return self._changed + self._rules.reprobe_s if self.settled else now

    def _set(self, interval_s: float, now: float, *, stable: bool) -> None:
        self._learned, self.stable, self._changed = interval_s, stable, now
        self._good = self._bad = 0

    def answered(self, gap_s: float, now: float) -> None:
        rules = self._rules
        if self._verify:  # these count for nothing else
            self._verify -= 1
            return
        self._bad = 0
        if self.stable:
            if now - self._changed >= rules.reprobe_s:
                self._set(self._learned + rules.margin_s, now, stable=False)
        else:
            self._good += 1
            if self._good >= rules.successes:
                top = rules.ceiling_s - rules.margin_s
                higher = min(self._learned + rules.step_s, top)
                self._set(higher, now, stable=self._learned >= top)

    def died(self, gap_s: float, now: float) -> None:
        rules = self._rules
        self._good = 0
        self._bad += 1
        if self._verify or self._bad < rules.failures:
            return
        if self.stable:
            self._set(rules.floor_s, now, stable=False)
        else:
            lower = self._learned - rules.step_s - rules.margin_s
            self._set(max(rules.floor_s, lower), now, stable=True)

    def connected(self, now: float) -> None:
        self._verify = self._rules.verify


class Halving:
    """A plain binary search between floor and ceiling; each death is believed."""

    jitter = 0.0

    def __init__(self, floor_s: float = 60.0, ceiling_s: float = 1800.0, step_s: float = 60.0) -> None:
        self._bounds = (floor_s, ceiling_s)
        self._step = step_s
        self.settled = False
        self._begin()

    def _begin(self) -> None:
        self._low, self._high = self._bounds
        self.settled = False
        self._good = self._bad = 0
        self.interval_s = (self._low + self._high) / 2

    def _next(self) -> None:
        self._good = self._bad = 0
        self.settled = self._high - self._low <= self._step
        self.interval_s = self._low if self.settled else (self._low + self._high) / 2

    def steady_until(self, now: float) -> float:
        return NEVER_S if self.settled else now

    def answered(self, gap_s: float, now: float) -> None:
        self._bad = 0
        if not self.settled:
            self._good += 1
            if self._good >= MARS_TODAY.successes:
                self._low = self.interval_s
                self._next()

    def died(self, gap_s: float, now: float) -> None:
        self._good = 0
        self._bad += 1
        if self._bad >= MARS_TODAY.failures:
            if self.settled:
                self._begin()
            else:
                self._high = self.interval_s
                self._next()

    def connected(self, now: float) -> None: ...


class Ours:
    """The SDK's search, as a phone runs it."""

    def __init__(self, policy: Policy) -> None:
        self.jitter = policy.jitter
        self._search = Search(policy)
        self._search.use("simulated", EPOCH_S)

    @property
    def interval_s(self) -> float:
        return self._search.interval_s

    @property
    def settled(self) -> bool:
        return self._search.settled

    def steady_until(self, now: float) -> float:
        if not self.settled:
            return now
        network = self._search.networks["simulated"]
        return network.changed_at - EPOCH_S + self._search.policy.reprobe_s

    def answered(self, gap_s: float, now: float) -> None:
        self._search.beat(gap_s, EPOCH_S + now)

    def died(self, gap_s: float, now: float) -> None:
        self._search.died(gap_s, EPOCH_S + now)

    def connected(self, now: float) -> None:
        self._search.online(EPOCH_S + now)
