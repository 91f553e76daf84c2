"""A user who logs in again and again does not get a full budget of frames each time."""

from __future__ import annotations

from control.gateway.allowances import MAX_KEPT, Allowances, LoginPace


def test_a_budget_is_not_full_again_at_each_login() -> None:
    allowances = Allowances(500, 5000)
    assert [allowances.take("eve", 100.0) for _ in range(5)] == [5000, 5000, 64, 64, 64]
    assert allowances.take("ann", 100.0) == 5000


def test_it_comes_back_by_the_rate() -> None:
    allowances = Allowances(500, 5000)
    for _ in range(9):
        allowances.take("eve", 100.0)
    assert allowances.take("eve", 104.0) == 2000
    assert allowances.take("eve", 200.0) == 5000


def test_hammering_is_forgiven_after_a_bounded_time() -> None:
    allowances = Allowances(500, 5000)
    for n in range(10_000):
        allowances.take("eve", 100.0 + n / 1000)
    assert allowances.take("eve", 110.0 + 20.0) == 5000


def test_what_is_remembered_is_bounded() -> None:
    allowances = Allowances(1, 1000)
    for n in range(MAX_KEPT + 500):
        allowances.take(f"u{n}", 0.0)
    assert len(allowances._full) == MAX_KEPT
    allowances.take("late", 10_000.0)
    assert len(allowances._full) == 1


def test_no_rate_is_no_limit() -> None:
    allowances = Allowances(0, 5000)
    assert {allowances.take("eve", 0.0) for _ in range(10)} == {5000}


def test_a_user_logs_in_so_often_and_no_more() -> None:
    pace = LoginPace(2.0)
    at_once = [pace.too_many("eve", 100.0) for _ in range(1_000)]
    assert at_once.count(False) == 2 * LoginPace.AT_ONCE
    assert not any(at_once[: 2 * LoginPace.AT_ONCE])
    assert not pace.too_many("ann", 100.0), "others as before"
    later = [pace.too_many("eve", 100.0 + n / 100) for n in range(1, 1_001)]
    assert 19 <= later.count(False) <= 20, "in the long run"
    assert not LoginPace(0.0).too_many("eve", 100.0)


def test_who_logged_in_long_ago_is_forgotten() -> None:
    pace = LoginPace(1.0)
    for n in range(MAX_KEPT + 500):
        pace.too_many(f"u{n}", 0.0)
    assert len(pace._free) == MAX_KEPT
    pace.too_many("late", 10_000.0)
    assert len(pace._free) == 1
