"""A session may send its burst at once and its rate for ever; more is refused."""

from __future__ import annotations

from tests.native.gateway_core.faces.leaf import TokenBucket

SECOND = 1_000_000_000


def test_a_burst_passes_and_the_next_frame_does_not() -> None:
    bucket = TokenBucket(100, 500, 7 * SECOND)
    assert bucket.take(7 * SECOND, 500)
    assert not bucket.take(7 * SECOND, 1)


def test_who_has_used_up_most_of_it_begins_with_less() -> None:
    bucket = TokenBucket(100, 500, 0, 64)
    assert bucket.take(0, 64)
    assert not bucket.take(0, 1)
    assert TokenBucket(100, 500, 0, 9_999).take(0, 500)
    assert not TokenBucket(100, 500, 0, 9_999).take(0, 501)


def test_the_rate_passes_for_ever_and_twice_the_rate_does_not() -> None:
    for rate in (3, 10, 100, 999):
        steady = TokenBucket(rate, 100, 0)
        assert all(steady.take(n * SECOND * 101 // 100 // rate, 1) for n in range(100_000)), rate
        greedy = TokenBucket(rate, 100, 0)
        passed = sum(greedy.take(n * SECOND // rate // 2, 1) for n in range(4_000))
        assert 1_900 < passed < 2_150, rate


def test_a_long_pause_fills_no_more_than_the_burst() -> None:
    bucket = TokenBucket(65_000, 65_535, 0)
    for later in (1, 100, 10**6):
        assert bucket.take(later * SECOND, 65_535)
        assert not bucket.take(later * SECOND, 1)


def test_no_rate_is_no_limit() -> None:
    assert TokenBucket(0, 0, 0).take(0, 1 << 31)
