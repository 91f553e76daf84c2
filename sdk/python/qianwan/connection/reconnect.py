"""When and where to connect again. Decisions only: no clock, no sleeping, so tests run them in no time.

    how the connection ended           what follows
    1000-1999, or no code              at once, after a random part of `base_s`; a connection that did not
    live
                                       `settled_s` counts as a failure and backs off like one
    2000-2999, connecting failed       full jitter: a random part of min(cap_s, base_s * 2**failures),
                                       never earlier than the server's retry_after, and over its jitter where
                                       that is more; at most `believe_s` is believed of each
    3000-3999                          like the above for the delay, and the address list is asked for again
    4002 with a token callable         once with a new token
    4000-4999                          never; the error goes to the application
"""  # fmt: skip

from __future__ import annotations

import dataclasses
import random
from typing import NamedTuple

from qianwan.connection.policy import Policy
from qianwan.constants import CloseCode
from qianwan.errors import Advice, ConnectionClosed


@dataclasses.dataclass(frozen=True, slots=True)
class Backoff:
    """Limits of reconnecting, in seconds."""

    base_s: float = 0.5
    cap_s: float = 60.0
    settled_s: float = 10.0
    """a connection that lived this long resets the failures"""
    believe_s: float = 300.0
    """the longest wait that a server may ask for; of a longer one this much is waited"""


class Decision(NamedTuple):
    """Wait `delay_s`, then connect; `elsewhere` says to ask the LBS first; `stop` says not to connect at
    all.
    """

    delay_s: float
    elsewhere: bool = False
    stop: bool = False


class Reconnector:
    """Counts failures in a row and turns each end of a connection into a Decision."""

    def __init__(self, backoff: Backoff, rng: random.Random, *, can_refresh_token: bool) -> None:
        self._backoff = backoff
        self._rng = rng
        self._can_refresh = can_refresh_token
        self._refreshed = False
        self.failures = 0

    def obey(self, policy: Policy) -> None:
        """Back off as the servers' operators wish."""
        self._backoff = dataclasses.replace(
            self._backoff, base_s=policy.backoff_base_s, cap_s=policy.backoff_cap_s
        )

    def forget(self) -> None:
        """Another network: the failures were of the one before."""
        self.failures = 0

    def logged_in(self) -> None:
        """A login succeeded: a token that expires later may be replaced again."""
        self._refreshed = False

    def after(self, end: ConnectionClosed, lived_s: float) -> Decision:
        """What to do after a logged-in connection (`lived_s` seconds old) or a login ended with `end`."""
        if end.advice is Advice.NEVER:
            if end.code == CloseCode.TOKEN_EXPIRED and self._can_refresh and not self._refreshed:
                self._refreshed = True
                return Decision(0.0)
            return Decision(0.0, stop=True)
        settled = lived_s >= self._backoff.settled_s
        if settled:
            self.failures = 0
        if end.advice is Advice.AT_ONCE and settled:
            return Decision(self._rng.uniform(0, self._backoff.base_s))
        return self._later(end.retry_after_ms / 1000, end.advice is Advice.ELSEWHERE)

    def failed(self, least_s: float = 0.0, jitter_s: float = 0.0) -> Decision:
        """What to do after no gateway could be reached, or one asked to wait."""
        return self._later(least_s, True, jitter_s)

    def _later(self, floor_s: float, elsewhere: bool, jitter_s: float = 0.0) -> Decision:
        limit = min(self._backoff.cap_s, self._backoff.base_s * 2 ** min(self.failures, 30))
        self.failures += 1
        most = self._backoff.believe_s
        spread = max(limit, min(jitter_s, most))
        return Decision(min(floor_s, most) + self._rng.uniform(0, spread), elsewhere)

    def moving(self, retry_after_ms: int, jitter_ms: int) -> float:
        """Seconds to wait before moving over, after a GOAWAY."""
        most = self._backoff.believe_s
        return min(retry_after_ms / 1000, most) + self._rng.uniform(0, min(jitter_ms / 1000, most))
