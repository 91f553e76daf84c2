"""`qianwan bench resume`: clients come back in every way, and each is counted."""

from __future__ import annotations

import pytest

from benchmarks.scenarios.context import Context
from benchmarks.scenarios.resume import WAYS, ResumeOptions, run_resume


@pytest.mark.parametrize("way", WAYS)
def test_clients_come_back_in_every_way(way: str) -> None:
    figure = run_resume(Context([], quiet=True), ResumeOptions(way=way, clients=4, seconds=0.2))
    assert figure["came_back"] > 4
    assert figure["latency_ms"]["p50"] > 0
