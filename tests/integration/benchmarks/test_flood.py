"""`qianwan bench flood`: strangers' resumes take nothing, and a flood that took something would be told."""

from __future__ import annotations

import pytest

from benchmarks.loadgen.fleet import FleetError
from benchmarks.scenarios.context import Context
from benchmarks.scenarios.flood import Counts, FloodOptions, judge, run_flood

OPTIONS = FloodOptions(flights=800, parked=40, live=5)


def test_a_flood_takes_nothing_and_who_waited_comes_back_once() -> None:
    figure = run_flood(Context([], quiet=True), OPTIONS)
    assert figure["resumed"] == 40
    assert figure["latency_ms"]["p50"] > 0


def test_a_session_that_a_stranger_took_is_told() -> None:
    live = {"sessions": 45, "parked": 0}
    before = Counts(0, 0, 0, 0, 0, 0, 0, live)
    seen = Counts(41, 200, 440, 200, 840, 0, 0, live)
    with pytest.raises(FleetError, match=r"mark: resumed 41, not 40$"):
        judge(seen, before, OPTIONS, 40)
