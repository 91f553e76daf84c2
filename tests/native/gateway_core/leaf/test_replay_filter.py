"""Nothing that came within the window is ever taken for new, and few strangers for known."""

from __future__ import annotations

import os

from tests.native.gateway_core.faces.leaf import Replays

WINDOW = 1000


def test_what_came_within_the_window_is_known() -> None:
    filter = Replays(WINDOW)
    came = {n * 7: os.urandom(48) for n in range(2000)}
    for now, flight in came.items():
        assert not filter.seen(flight, now)
        for age in (0, 3, 500, WINDOW - 1):
            earlier = (now - age) // 7 * 7
            if earlier >= 0 and now - earlier < WINDOW:
                assert filter.seen(came[earlier], now)


def test_what_is_older_than_two_windows_is_forgotten() -> None:
    filter = Replays(WINDOW)
    old = [os.urandom(48) for _ in range(1000)]
    for flight in old:
        filter.seen(flight, 0)
    assert sum(filter.seen(flight, 10 * WINDOW) for flight in old) == 0


def test_few_strangers_are_taken_for_known() -> None:
    filter = Replays(WINDOW)
    for _ in range(100_000):
        filter.seen(os.urandom(16), 0)
    assert sum(filter.seen(os.urandom(16), 0) for _ in range(10_000)) < 50


def test_a_full_filter_lets_nobody_pass_for_new_until_it_turns() -> None:
    filter = Replays(WINDOW)
    filter.fill()
    assert filter.seen(b"new", 1)
    assert not filter.seen(b"new", WINDOW)
    assert filter.seen(b"new", WINDOW + 1)
