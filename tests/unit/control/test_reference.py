"""Tables of the docs name exactly what the code has."""

from __future__ import annotations

import re

from control.metrics import GATEWAY_COUNTERS, GATEWAY_LIVE
from gateway_core.leaf import stats
from tests.support.tree import ROOT


def test_every_counter_of_the_core_is_a_documented_metric() -> None:
    assert set(GATEWAY_COUNTERS) == set(stats.COUNTER_NAMES)
    assert set(GATEWAY_LIVE) == set(stats.LIVE_NAMES)


def test_operations_names_every_command() -> None:
    page = (ROOT / "docs" / "OPERATIONS.md").read_text()
    for command in [
        "serve",
        "token",
        "config",
        "doctor",
        "keys",
        "api-key",
        "store",
        "top",
        "chat",
        "demo",
        "bench",
    ]:
        assert re.search(rf"`{command}\b", page), command
