"""One connection's heartbeat under a policy: what is announced, what is relied on, what a silence proves."""

from __future__ import annotations

import random
from typing import Any

import pytest
from qianwan.connection.heartbeat import Beat, Heartbeat
from qianwan.connection.policy import Policy
from qianwan.protocol.messages import ping_body


def heartbeat(interval_s: float, told_s: float | None = None, **policy: Any) -> Heartbeat:
    return Heartbeat(interval_s, 0.0, random.Random(5), Policy(**policy), told_s)


def test_a_longer_interval_is_not_relied_on_before_its_announcement_was_answered() -> None:
    beat = heartbeat(580.0, told_s=240.0)
    assert beat.next_check() <= 240
    assert beat.pinged(240.0) == ping_body(0, 580)
    assert beat.period_s <= 240  # the PONG may never come
    assert beat.ponged(240.1) == 240
    assert 551 <= beat.period_s <= 580
    assert beat.pinged(800.0) == b""


def test_a_shorter_interval_holds_at_once_and_is_told_with_the_next_beat() -> None:
    beat = heartbeat(60.0, told_s=240.0)
    assert beat.next_check() <= 60
    assert beat.pinged(60.0) == ping_body(0, 60)


def test_parts_of_a_second_need_no_announcement() -> None:
    beat = heartbeat(0.5, told_s=0.5, jitter=0.0)
    beat.set_interval(0.9)
    assert beat.period_s == 0.9


def test_the_steady_beat_is_empty() -> None:
    beat = heartbeat(270.0)
    for n in range(1, 6):
        assert beat.pinged(270.0 * n) == b""
        beat.ponged(270.0 * n + 0.1)


def test_jitter_shortens_only_and_as_much_as_the_policy_says() -> None:
    for jitter in (0.0, 0.05, 0.2):
        beat = heartbeat(100.0, jitter=jitter)
        periods = []
        for n in range(200):
            beat.pinged(float(n))
            beat.ponged(float(n))
            periods.append(beat.period_s)
        assert 100 * (1 - jitter) <= min(periods) <= max(periods) <= 100
        assert max(periods) - min(periods) >= 90 * jitter


def test_the_silence_before_a_beat_is_counted_from_the_last_byte_of_either_side() -> None:
    beat = heartbeat(100.0)
    beat.wrote(30.0)
    beat.read(40.0)
    beat.pinged(140.0)
    beat.wrote(140.0)  # the PING itself
    assert beat.ponged(140.2) == 100.0
    assert beat.ponged(141.0) is None  # nobody asked


def test_in_the_foreground_one_more_ping_comes_before_the_end() -> None:
    beat = heartbeat(100.0, pong_min_s=5.0, pong_max_s=8.0)
    beat.foreground = True
    beat.pinged(100.0)
    assert beat.check(107.9) is Beat.NOTHING
    assert beat.check(108.0) is Beat.PING
    beat.pinged(108.0)
    assert beat.check(112.9) is Beat.NOTHING
    assert beat.check(113.0) is Beat.DEAD
    beat.ponged(113.0)
    assert beat.pong_timeout_s == pytest.approx(8.0)


def test_the_foreground_has_an_interval_of_its_own() -> None:
    beat = heartbeat(580.0, foreground_s=210.0, jitter=0.0)
    assert beat.period_s == 580
    beat.foreground = True
    assert beat.period_s == 210


def test_an_alarm_that_rang_late_is_told() -> None:
    beat = heartbeat(100.0)
    beat.foreground = False
    assert beat.pinged(130.0) == ping_body(1 | 4, 100)
