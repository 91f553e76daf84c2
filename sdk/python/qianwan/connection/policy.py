"""What the operators of the servers decided about heartbeats and reconnecting: one record, the body of POLICY
(docs/PROTOCOL.md, "Keeping alive").

Each number of a server is taken into its bounds, so that a mistyped policy neither floods nor silences a
fleet; what a server does not say stays as the client was built.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

MIN_INTERVAL_S = 1.0
MAX_INTERVAL_S = 3600.0
DAY_S = 86_400.0


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """Seconds, unless the name says otherwise. The search that most of it is about: `search.py`."""

    rev: int = 0
    ping_interval_s: float = 240.0
    """the interval where nothing is searched, else where a search begins"""
    adaptive: bool = False
    floor_s: float = 210.0
    ceiling_s: float = 600.0
    step_s: float = 60.0
    """how far the first probe goes up, and how exact a search gets"""
    margin_s: float = 20.0
    """so much less than what was proven is used"""
    successes: int = 5
    """beats in a row that prove an interval"""
    failures: int = 2
    """deaths that refute one"""
    verify_beats: int = 3
    """beats at the floor on a network that is new"""
    reprobe_s: float = 7 * DAY_S
    """how long a result is believed before it is tried to do better"""
    foreground_s: float = 0.0
    """the longest interval while the app is in the foreground; 0: the same as else"""
    pong_min_s: float = 5.0
    pong_max_s: float = 8.0
    jitter: float = 0.05
    """share of an interval, by which it is shortened at random"""
    backoff_base_s: float = 0.5
    backoff_cap_s: float = 60.0
    stagger_s: float = 2.5
    parallel: int = 3
    connect_timeout_s: float = 10.0
    ack_messages: int = 16
    ack_delay_ms: float = 200.0
    resume: bool = True
    ttl_s: float = 7 * DAY_S
    """how long it holds without being told again; 0: for ever"""

    def told(self, policy: Mapping[str, object]) -> Policy:
        """This one, with what a server says in place of its own. What cannot be read is as if not said."""
        said: dict[str, Any] = {}
        for name, (low, high) in BOUNDS.items():
            value = policy.get(name)
            if isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value):
                number = min(max(value, low), high)
                said[name] = round(number) if name in WHOLE else float(number)
        for name in FLAGS:
            if isinstance(policy.get(name), bool):
                said[name] = policy[name]
        return dataclasses.replace(self, **said).ordered()

    def ordered(self) -> Policy:
        """floor <= ceiling, and the other pairs too: the lower one gives way."""
        return dataclasses.replace(
            self,
            floor_s=min(self.floor_s, self.ceiling_s),
            pong_min_s=min(self.pong_min_s, self.pong_max_s),
            backoff_base_s=min(self.backoff_base_s, self.backoff_cap_s),
        )

    @property
    def start_s(self) -> float:
        """Where a search begins."""
        return min(max(self.ping_interval_s, self.floor_s), self.ceiling_s)


BOUNDS: dict[str, tuple[float, float]] = {
    "rev": (0, 2**64 - 1),
    "ping_interval_s": (MIN_INTERVAL_S, MAX_INTERVAL_S),
    "floor_s": (MIN_INTERVAL_S, MAX_INTERVAL_S),
    "ceiling_s": (MIN_INTERVAL_S, MAX_INTERVAL_S),
    "step_s": (0.1, 600),
    "margin_s": (0, 300),
    "successes": (1, 100),
    "failures": (1, 20),
    "verify_beats": (0, 100),
    "reprobe_s": (60, 365 * DAY_S),
    "foreground_s": (0, MAX_INTERVAL_S),
    "pong_min_s": (1, 60),
    "pong_max_s": (2, 120),
    "jitter": (0, 0.2),
    "backoff_base_s": (0.05, 60),
    "backoff_cap_s": (1, 3600),
    "stagger_s": (0.1, 30),
    "parallel": (1, 5),
    "connect_timeout_s": (1, 60),
    "ack_messages": (1, 128),
    "ack_delay_ms": (0, 5000),
    "ttl_s": (0, 365 * DAY_S),
}
"""What is believed of a server: the least and the most."""
WHOLE = frozenset({"rev", "successes", "failures", "verify_beats", "parallel", "ack_messages"})
FLAGS = ("adaptive", "resume")
