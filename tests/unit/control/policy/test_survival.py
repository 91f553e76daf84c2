"""Kaplan-Meier over gaps, against figures done by hand and a population whose truth is known."""

from __future__ import annotations

import random

from control.policy.model import Constants
from control.policy.survival import (
    CELLS_MOST,
    REST,
    Cell,
    Cells,
    alive_at,
    chosen,
    curve_of,
    merged,
    suggest,
)


def cell(died: list[float], lived: list[float]) -> Cell:
    made = Cell()
    for gap in died:
        made.death(gap)
    for gap in lived:
        made.censored(gap)
    return made


def test_the_estimate_is_the_product_of_what_was_at_risk() -> None:
    """6 at risk at 10 s, 1 dies, 1 is censored; 4 at 20 s, 2 die; 2 at 30 s, 1 dies."""
    points = curve_of(cell([10, 20, 20, 30], [10, 30])).points
    assert [(point.gap_s, point.at_risk, point.died) for point in points] == [
        (10, 6, 1),
        (20, 4, 2),
        (30, 2, 1),
    ]
    assert [round(point.alive, 6) for point in points] == [0.833333, 0.416667, 0.208333]
    assert all(0 <= point.low <= point.alive <= point.high <= 1 for point in points)


def test_who_was_never_silent_for_long_says_nothing_of_long_silence() -> None:
    curve = curve_of(cell([], [60] * 100))
    assert alive_at(curve, 600) == 1.0
    assert curve.points[-1].gap_s == 60


def test_a_nat_of_five_minutes_is_found_through_censoring() -> None:
    rng = random.Random(5)
    made = Cell()
    for _ in range(4000):
        gap = rng.uniform(30, 600)
        if gap > 300:
            made.death(gap)
        else:
            made.censored(gap)
    curve = curve_of(made)
    assert alive_at(curve, 285) == 1.0
    assert alive_at(curve, 420) < 0.7
    found = suggest(curve, 60.0, Constants())
    assert found.enough
    assert 240 <= found.constants.ping_interval_s <= 300
    assert found.constants.floor_s <= found.constants.ping_interval_s <= found.constants.ceiling_s
    assert found.beats_saved_a_day > 1000
    assert found.mah_saved_a_day > 500


def test_too_little_evidence_suggests_no_change() -> None:
    found = suggest(curve_of(cell([100], [60] * 10)), 240.0, Constants())
    assert not found.enough
    assert found.constants.ping_interval_s == 240
    assert found.beats_saved_a_day == 0


def test_cells_of_gateways_add_up_and_are_bounded() -> None:
    cells = Cells()
    for number in range(CELLS_MOST + 50):
        cells.of("4g", f"carrier-{number}").death(100)
    assert len(cells.by_name) == CELLS_MOST + 1
    assert sum(cells.by_name[f"4g {REST}"].died) == 50
    both = merged([cells.by_name, {"wifi home": cell([], [50])}])
    assert sum(chosen(both, "4g", "").died) == CELLS_MOST + 50
    assert sum(chosen(both, "", "").lived) == 1
    assert sum(chosen(both, "4g", "carrier-3").died) == 1
