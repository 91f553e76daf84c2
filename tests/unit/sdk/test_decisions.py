"""Reconnecting and heartbeats: every rule of docs/PROTOCOL.md sections 14 and 15, without a clock."""

from __future__ import annotations

import random

import pytest
from qianwan import constants as c
from qianwan.connection.heartbeat import Beat, Heartbeat
from qianwan.connection.reconnect import Backoff, Reconnector
from qianwan.errors import (
    BY_CODE,
    Advice,
    ConnectionClosed,
    RequestError,
    request_error,
)

BACKOFF = Backoff(base_s=0.5, cap_s=60)


def reconnector(*, refresh: bool = False, seed: int = 1) -> Reconnector:
    return Reconnector(BACKOFF, random.Random(seed), can_refresh_token=refresh)


@pytest.mark.parametrize(("first", "last", "name"), c.CLOSE_RANGES)
def test_advice_follows_the_range(first: int, last: int, name: str) -> None:
    for code in (first, last):
        assert ConnectionClosed(code).advice is Advice[name.upper()]


def test_a_settled_connection_reconnects_at_once_with_jitter() -> None:
    rules = reconnector()
    delays = [rules.after(ConnectionClosed(code), 60).delay_s for code in (1000, 1001, 1002, 0) * 50]
    assert 0 <= min(delays) < 0.1
    assert 0.4 < max(delays) <= 0.5


@pytest.mark.parametrize("code", [1001, 2000, 2001, 3000])
def test_failures_in_a_row_back_off_with_full_jitter_up_to_the_cap(code: int) -> None:
    samples = [[reconnector(seed=seed) for seed in range(200)], []]
    for failure in range(12):
        delays = [rules.after(ConnectionClosed(code), 1).delay_s for rules in samples[0]]
        limit = min(60, 0.5 * 2**failure)
        assert max(delays) <= limit
        assert max(delays) > 0.9 * limit
        assert min(delays) < 0.1 * limit


def test_a_settled_connection_forgets_the_failures() -> None:
    rules = reconnector()
    for _ in range(10):
        rules.after(ConnectionClosed(2000), 1)
    assert rules.after(ConnectionClosed(2000), 60).delay_s <= 0.5


def test_retry_after_is_never_undercut() -> None:
    end = ConnectionClosed(2000, retry_after_ms=7000)
    assert all(reconnector(seed=seed).after(end, 60).delay_s >= 7 for seed in range(50))
    assert reconnector().failed(3.0).delay_s >= 3


def test_a_wait_that_the_server_spreads_is_spread_as_far() -> None:
    delays = [reconnector(seed=seed).failed(3.0, 20.0).delay_s for seed in range(200)]
    assert 3 <= min(delays) < 5
    assert 21 < max(delays) <= 23
    distrusts = Reconnector(Backoff(believe_s=5.0), random.Random(1), can_refresh_token=False)
    assert distrusts.failed(2**60, 2**60).delay_s <= 10


def test_of_an_absurd_wait_only_as_much_as_the_setting_allows_is_waited() -> None:
    forever = 2**62 / 1000
    rules = Reconnector(Backoff(believe_s=20.0, cap_s=1.0), random.Random(1), can_refresh_token=False)
    assert 20 <= rules.failed(forever).delay_s <= 21
    assert 20 <= rules.after(ConnectionClosed(2000, retry_after_ms=2**62), 60).delay_s <= 21
    assert 20 <= rules.moving(2**62, 0) <= rules.moving(2**62, 2**64 - 1) <= 40
    for told in (-1, True, "soon", float("nan"), float("inf"), None):
        assert request_error(416, "", {"retry_after_ms": told}).retry_after_s in (0, 0.001)


def test_elsewhere_asks_for_addresses_again() -> None:
    assert reconnector().after(ConnectionClosed(3001), 60).elsewhere
    assert reconnector().failed().elsewhere
    assert not reconnector().after(ConnectionClosed(1001), 60).elsewhere


def test_4000_never_reconnects_but_an_expired_token_is_renewed_once() -> None:
    for code in c.CloseCode:
        if code >= 4000:
            assert reconnector().after(ConnectionClosed(code), 60).stop
    rules = reconnector(refresh=True)
    assert not rules.after(ConnectionClosed(4002), 60).stop
    assert rules.after(ConnectionClosed(4002), 0).stop
    rules.logged_in()
    assert not rules.after(ConnectionClosed(4002), 60).stop
    assert rules.after(ConnectionClosed(4001), 60).stop


def test_every_request_code_has_its_error() -> None:
    for code in c.RequestCode:
        if code:
            assert type(request_error(code)) is BY_CODE[code]
            assert type(request_error(code)) is not RequestError
    assert type(request_error(9999)) is RequestError
    assert request_error(416, "slow down", {"retry_after_ms": 1500}).retry_after_s == 1.5


def test_ping_is_due_after_an_interval_without_writing_or_without_reading() -> None:
    for busy, silent in ((Heartbeat.wrote, Heartbeat.read), (Heartbeat.read, Heartbeat.wrote)):
        beat = Heartbeat(100, 0.0, random.Random(2))
        assert 95 <= beat.next_check() <= 100
        silent(beat, 50.0)
        for second in range(51, 145):
            busy(beat, float(second))
            assert beat.check(float(second)) is Beat.NOTHING
        assert 145 <= beat.next_check() <= 150
        assert beat.check(150.0) is Beat.PING


def test_an_overdue_answer_asks_at_once_however_busy_the_connection_is() -> None:
    beat = Heartbeat(240, 0.0, random.Random(2))
    asked = 10.0
    beat.wrote(asked)
    assert beat.next_check(asked) == asked + beat.pong_timeout_s
    beat.wrote(17.9)
    beat.read(17.9)
    assert beat.check(17.9, asked) is Beat.NOTHING
    assert beat.check(18.0, asked) is Beat.PING
    beat.pinged(18.0)
    beat.ponged(18.1)  # alive, and the answer takes its time
    assert beat.check(18.2, asked) is Beat.NOTHING
    assert beat.next_check(asked) == 18.0 + beat.pong_timeout_s
    beat.pinged(23.0)
    assert beat.check(23.0 + beat.pong_timeout_s, asked) is Beat.DEAD


def test_pong_timeout_follows_the_round_trip_within_its_bounds() -> None:
    for round_trip, expected in ((0.01, 5), (1.0, 6), (1.4, 7.6), (3.0, 8)):
        beat = Heartbeat(100, 0.0, random.Random(3))
        assert beat.pong_timeout_s == 8
        beat.pinged(100.0)
        beat.ponged(100.0 + round_trip)
        assert beat.pong_timeout_s == pytest.approx(expected)
        beat.pinged(200.0)
        beat.pinged(201.0)  # a second ping gives no new time
        assert beat.check(200.0 + expected - 0.01) is Beat.NOTHING
        assert beat.check(200.0 + expected + 0.01) is Beat.DEAD
        beat.ponged(200.0 + expected)
        assert beat.check(200.0 + expected) is Beat.NOTHING
