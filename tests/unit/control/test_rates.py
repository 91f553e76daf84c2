"""What one API key or one address may ask, also when it was less a moment ago."""

from __future__ import annotations

import random

import pytest

from control.rates import Rates


@pytest.mark.parametrize("per_s", [1.0, 3.0, 100.0, 2000.0, 3e5])
def test_who_owes_nothing_is_let_in_at_every_burst_rate_and_age_of_the_machine(per_s: float) -> None:
    rates, drawn = Rates(per_s, 1, 16), random.Random(per_s)
    for age_s in (0.0, 10.0, 3e4, 5e4, 1e6, 1e8):
        for number in range(50):
            assert rates.take(f"{age_s} {number}", age_s + drawn.random()) == 0.0
    now = 50_000.0
    for _ in range(50):
        now += 0.5 + 1.001 / per_s
        assert rates.take("k", now) == 0.0
    assert (rates.refused, len(rates)) == (0, 16)


def test_who_is_refused_for_ever_at_a_rate_near_nothing_is_told_so_and_owes_no_more_than_that() -> None:
    rates = Rates(0.001, 1, 100)
    assert (rates.take("k", 100.0), round(rates.take("k", 101.0))) == (0.0, 999)
    rates.set(2000, 4000)
    assert rates.take("k", 101.0) <= 0.001
    assert rates.take("k", 101.1) == 0.0
    assert rates.take("k", 101.1) == 0.0, "as after a whole burst"


def test_a_burst_and_then_the_rate_and_nobody_else_is_held_up() -> None:
    rates = Rates(10.0, 5, 100)
    assert [rates.take("a", 100.0) > 0 for _ in range(6)] == [False] * 5 + [True]
    assert rates.take("b", 100.0) == 0.0
    assert 0 < rates.take("a", 100.0) <= 0.1
    assert rates.take("a", 100.11) == 0.0
    assert rates.refused == 2


def test_another_rate_holds_at_once_and_who_owes_waits_as_the_one_before_said() -> None:
    rates = Rates(10.0, 5, 100)
    assert [rates.take("a", 100.0) > 0 for _ in range(5)] == [False] * 5
    rates.set(1.0, 1)
    assert rates.take("a", 100.0) > 0
    assert [rates.take("b", 100.0) > 0 for _ in range(2)] == [False, True]
    rates.set(100.0, 50)
    assert 0 < rates.take("b", 100.0) < 1
    assert [rates.take("b", 101.0) for _ in range(49)] == [0.0] * 49


def test_who_asked_while_a_rate_was_near_nothing_is_served_soon_after() -> None:
    rates = Rates(10.0, 5, 100)
    rates.set(1e-9, 5)
    assert rates.take("a", 100.0) == 0.0
    rates.set(10.0, 5)
    assert rates.take("a", 101.0) <= 0.1
    assert rates.take("a", 101.2) == 0.0


def test_addresses_without_number_take_bounded_memory() -> None:
    rates = Rates(1.0, 1, 1000)
    for number in range(100_000):
        rates.take(str(number), 1.0)
    assert len(rates) == 1000
    assert rates.take("99999", 1.0) > 0, "the last ones are remembered"
