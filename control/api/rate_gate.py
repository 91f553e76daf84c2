"""How many requests one API key may make."""

from __future__ import annotations

from control.keys.keyring import MOST
from control.rates import Rates

CHANGES_AT_ONCE = 1000
"""Of the admin API, by one key: a script that goes over every node of a large cluster."""
KEYS = 2 * MOST
"""Whose rates are known: the API keys of a cluster, and as many of folders."""


class RateGate(Rates):
    """`burst` at once, `per_s` in the long run, per id of a key."""

    def __init__(self, per_s: float, burst: int) -> None:
        super().__init__(per_s, burst, KEYS)


def day_gate(tokens: int) -> RateGate:
    """So many a day, and as many at once."""
    return RateGate(tokens / 86400, tokens)
