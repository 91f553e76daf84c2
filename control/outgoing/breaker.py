"""When a server that fails is left alone, and how it is tried again: a state machine without a clock.

closed --(`failures` of the last `window` outcomes)--> open --(wait is over)--> half open: one probe
   ^                                                    ^                          |        |
   +----------------------------- it went well ---------|--------------------------+        |
                                                        +---- it failed: twice the wait ----+
"""

from __future__ import annotations

from typing import Literal, NamedTuple

State = Literal["closed", "open", "half_open"]


class Rules(NamedTuple):
    """`window` at most 64 outcomes. The wait begins with `wait_ms`, doubles with every failed probe up to
    `longest_ms`; a probe whose outcome nobody told after `probe_ms` is another one's turn."""

    failures: int = 5
    window: int = 10
    wait_ms: int = 1_000
    longest_ms: int = 30_000
    probe_ms: int = 30_000


RULES = Rules()


class Breaker:
    """Moments are milliseconds of a clock that only goes on. A request asks `admit`, and tells `done` with
    what it was given; what was asked before the breaker opened says nothing about it afterwards."""

    def __init__(self, rules: Rules = RULES) -> None:
        self._rules = rules
        self._outcomes = 0  # the latest bits: 1 = failed
        self._term = 1  # of the state; a permit of another one is stale
        self._wait_ms = 0  # 0: closed
        self._until = 0
        self._probing = False
        self.opened = 0

    def state(self, now: int) -> State:
        if not self._wait_ms:
            return "closed"
        return "open" if now < self._until else "half_open"

    def admit(self, now: int) -> int:
        """A permit for one request, or 0: not now."""
        if not self._wait_ms:
            return self._term
        if now < self._until:
            return 0
        self._term += 1  # a probe that was lost is stale
        self._probing = True
        self._until = now + self._rules.probe_ms
        return self._term

    def done(self, permit: int, good: bool | None, now: int) -> None:
        """How it went. None: nobody knows (it was given up by whoever asked)."""
        if permit != self._term:
            return
        if self._wait_ms and not self._probing:
            return
        if good is None:
            if self._probing:
                self._until, self._probing = now, False
            return
        if self._probing:
            self._probing = False
            if good:
                self._close()
            else:
                self._open(now, min(self._wait_ms * 2, self._rules.longest_ms))
            return
        self._outcomes = (self._outcomes << 1 | (not good)) & ((1 << self._rules.window) - 1)
        if not good and self._outcomes.bit_count() >= self._rules.failures:
            self._open(now, self._rules.wait_ms)

    def _close(self) -> None:
        self._outcomes = self._wait_ms = 0
        self._term += 1

    def _open(self, now: int, wait_ms: int) -> None:
        self._wait_ms = wait_ms
        self._until = now + wait_ms
        self._term += 1
        self.opened += 1
