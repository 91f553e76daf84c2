"""Counters: sums over loops, every close code by its own name, turns and flushes in the right cell."""

from __future__ import annotations

import pytest
from tests.native.gateway_core.faces.leaf import Counters, stages, sums

from frame.constants import CloseCode
from gateway_core.leaf import stats


def test_loops_are_summed_counter_by_counter() -> None:
    one, two = Counters(), Counters()
    names = stats.COUNTER_NAMES
    for which in range(len(names)):
        one.add(which, which)
        two.add(which, 1000)
    total = sums(one, two)
    assert [total[name] for name in names] == [1000 + which for which in range(len(names))]
    one.add(len(names), 3)
    two.add(len(names), -1)
    assert sums(one, two)["live"][stats.LIVE_NAMES[0]] == 2


def test_every_close_code_of_the_protocol_has_a_cell() -> None:
    counters = Counters()
    for code in CloseCode:
        counters.code(code)
    counters.code(0)
    counters.code(4999)
    closes = sums(counters)["closes"]
    assert closes == {0: 1, **{int(code): 1 for code in CloseCode}, "other": 1}


def test_reasons_are_told_once_they_happened() -> None:
    counters = Counters()
    for which, name in enumerate(stats.REASON_NAMES):
        counters.reason(which)
        assert sums(counters)["closed_by_reason"][name] == 1
    assert list(sums(counters)["closed_by_reason"]) == stats.REASON_NAMES


@pytest.mark.parametrize(
    ("frames", "cell"),
    [
        (0, "1"),
        (1, "1"),
        (2, "2-3"),
        (3, "2-3"),
        (4, "4-7"),
        (127, "64-127"),
        (128, "128+"),
        (1 << 30, "128+"),
    ],
)
def test_a_flush_counts_in_the_cell_of_its_frames(frames: int, cell: str) -> None:
    counters = Counters()
    counters.flush(frames)
    total = sums(counters)
    assert (total["flushes"], total["frames_out"]) == (1, frames)
    assert [name for name, n in total["k_histogram"].items() if n] == [cell]


@pytest.mark.parametrize("ns", [0, 1, 65_535, 65_536, 81_919, 81_920, 10**6, (1 << 32) - 1, 1 << 32, 1 << 63])
def test_a_turn_is_shorter_than_the_bound_of_its_cell(ns: int) -> None:
    counters = Counters()
    counters.turn(ns)
    total = sums(counters)
    (cell,) = [bound for bound, n in total["turns"].items() if n]
    bounds = [bound for bound in total["turns"] if bound != "over"]
    below = [bound for bound in bounds if cell == "over" or bound < cell]
    assert cell == "over" or ns < cell
    assert not below or ns >= below[-1]
    assert total["max_turn_ms"] == ns / 1e6


def test_stages_become_time_by_the_rate_of_the_counter() -> None:
    counters = Counters()
    counters.stage(0, 4_000_000)
    counters.stage(0, 4_000_000)
    first = stages(counters, 2.0)[stats.STAGE_NAMES[0]]
    assert first["count"] == 2
    assert 4_000_000 <= first["ns"] < 5_000_000
