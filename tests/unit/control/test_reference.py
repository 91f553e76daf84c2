"""Generated pages are fresh, and tables name exactly what the code has."""

from __future__ import annotations

import re

from control.metrics import GATEWAY_COUNTERS, GATEWAY_LIVE
from gateway_core.leaf import stats
from tools.reference_settings import ROOT, rendered


def test_generated_files_are_fresh() -> None:
    for path, text in rendered().items():
        assert path.read_text() == text, f"{path.name} is stale: run python -m tools.reference_settings"


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
