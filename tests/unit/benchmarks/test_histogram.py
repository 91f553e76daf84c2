"""The latency histogram agrees with HdrHistogram and loses nothing when merged."""

from __future__ import annotations

import random

import pytest
from hdrh.histogram import HdrHistogram

from benchmarks.loadgen.histogram import HIGHEST_US, SIGNIFICANT_DIGITS, Histogram


@pytest.mark.parametrize("percent", [1, 50, 90, 99, 99.9, 100])
def test_percentiles_agree_with_hdrhistogram(percent: float) -> None:
    seed = random.randrange(1 << 32)
    print("seed", seed)
    rng = random.Random(seed)
    ours, theirs = Histogram(), HdrHistogram(1, HIGHEST_US, SIGNIFICANT_DIGITS)
    for _ in range(5000):
        value = int(rng.lognormvariate(8, 3)) % HIGHEST_US
        ours.record(value)
        theirs.record_value(value)
    assert ours.percentile(percent) == min(theirs.get_value_at_percentile(percent), ours.max_us)


def test_values_are_kept_to_three_digits() -> None:
    for value in (0, 1, 999, 2047, 2048, 4095, 65_537, 1_000_003, 59_999_999, HIGHEST_US):
        one, more = Histogram(), Histogram()
        one.record(value)
        more.record(value)
        more.record(HIGHEST_US)
        assert one.percentile(50) == value
        assert value <= more.percentile(50) <= value * 1.001


def test_a_value_above_an_hour_counts_as_an_hour() -> None:
    histogram = Histogram()
    histogram.record(1 << 62)
    assert histogram.max_us == HIGHEST_US


def test_merging_adds_up() -> None:
    parts = [Histogram() for _ in range(3)]
    for i in range(3000):
        parts[i % 3].record(i * 17)
    whole = Histogram()
    for part in parts:
        whole.merge(part.pack())
    assert whole.total == 3000
    assert whole.max_us == 2999 * 17
    assert whole.percentile(50) == pytest.approx(1500 * 17, rel=0.002)


def test_an_empty_histogram_says_zero() -> None:
    assert Histogram().percentile(99) == 0


def test_a_cell_that_does_not_exist_is_refused() -> None:
    import array

    with pytest.raises(ValueError, match="no such cell"):
        Histogram().merge(array.array("Q", [1, 1 << 40, 1]).tobytes())
