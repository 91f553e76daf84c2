"""The search ends next to the highest passing rate, whatever the server's limit is."""

from __future__ import annotations

import pytest

from benchmarks.highest_rate import Bounds, find_highest_rate
from benchmarks.loadgen.fleet import Measured
from tests.support.bench_figures import measured


@pytest.mark.parametrize("limit", [30.0, 130.0, 999.0, 70_000.0])
def test_the_knee_is_within_a_tenth_of_the_limit(limit: float) -> None:
    highest = find_highest_rate(
        lambda rate: measured(rate=rate, p99_us=1000 if rate <= limit else 900_000), Bounds(500.0), 20.0
    )
    assert limit / 1.1 <= highest.best.rate <= limit
    assert highest.best.failure is None


def test_a_start_above_the_limit_goes_down() -> None:
    highest = find_highest_rate(
        lambda rate: measured(rate=rate, p99_us=1000 if rate <= 10 else 900_000), Bounds(500.0), 20.0
    )
    assert highest.best.failure is None
    assert highest.best.rate <= 10


@pytest.mark.parametrize("stall", [1, 2, 3, 5])
def test_one_stall_does_not_end_the_search(stall: int) -> None:
    asked = 0

    def measure(rate: float) -> Measured:
        nonlocal asked
        asked += 1
        return measured(rate=rate, p99_us=900_000 if asked == stall or rate > 999.0 else 1000)

    highest = find_highest_rate(measure, Bounds(500.0), 20.0)
    assert 999.0 / 1.1 <= highest.best.rate <= 999.0
    assert sum(point.failure is not None for point in highest.points) >= 2  # a stall is told of, not hidden


def test_a_loss_is_never_measured_away() -> None:
    asked = 0

    def measure(rate: float) -> Measured:
        nonlocal asked
        asked += 1
        return measured(rate=rate, lost=1 if asked == 2 else 0)

    highest = find_highest_rate(measure, Bounds(500.0), 20.0)
    assert highest.best.rate < 40.0
    assert [point.rate for point in highest.points].count(40.0) == 1


def test_a_step_far_behind_is_not_measured_again() -> None:
    def measure(rate: float) -> Measured:
        return measured(rate=rate, throughput=min(rate, 30.0))

    highest = find_highest_rate(measure, Bounds(500.0), 20.0)
    rates = [point.rate for point in highest.points]
    assert rates.count(40.0) == 2, "three quarters arrived: a stall may have been the reason"
    assert 30.0 / 1.1 <= highest.best.rate <= 30.0 / 0.97
    assert [rate for rate in rates if rate > 40.0] == []
    down = find_highest_rate(measure, Bounds(500.0), 50.0)
    assert [point.rate for point in down.points].count(50.0) == 1


def test_a_server_that_never_passes_reports_its_failure() -> None:
    highest = find_highest_rate(lambda rate: measured(rate=rate, lost=1), Bounds(500.0), 20.0)
    assert highest.best.failure is not None
    assert "lost 1" in highest.best.failure


@pytest.mark.parametrize(
    ("fault", "word"),
    [
        ({"lost": 3}, "lost 3"),
        ({"duplicated": 1}, "duplicated 1"),
        ({"reordered": 2}, "reordered 2"),
        ({"refused": 9}, "refused"),
        ({"closed": 1}, "closed"),
        ({"throughput": 90.0}, "arrived in time"),
        ({"p99_us": 600_000}, "p99 600 ms"),
    ],
)
def test_every_bound_is_judged(fault: dict[str, float], word: str) -> None:
    failure = Bounds(500.0).failure(measured(rate=100.0, **fault))
    assert failure is not None
    assert word in failure


def test_a_load_within_all_bounds_passes() -> None:
    assert Bounds(500.0).failure(measured(rate=100.0)) is None
