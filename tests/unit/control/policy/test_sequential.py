"""The test of a canary: rarely wrong however often it looks, soon right on a harmful one."""

from __future__ import annotations

import math
import random

from control.policy.sequential import Look, Sprt


def poisson(rng: random.Random, mean: float) -> int:
    limit, product, count = math.exp(-mean), rng.random(), 0
    while product > limit:
        product *= rng.random()
        count += 1
    return count


def looks_until(rng: random.Random, ratio: float, alpha: float, most: int) -> int | None:
    test = Sprt(2.0, alpha, 5)
    for number in range(1, most + 1):
        look = Look(
            canary=poisson(rng, 0.5 * ratio), control=poisson(rng, 4.5), canary_s=100.0, control_s=900.0
        )
        if test.look(look):
            return number
    return None


def test_a_harmless_canary_is_seldom_taken_back() -> None:
    rng = random.Random(1)
    wrong = sum(looks_until(rng, 1.0, 0.001, 100) is not None for _ in range(300))
    assert wrong <= 3


def test_a_harmful_one_is_found_soon() -> None:
    rng = random.Random(2)
    found = [looks_until(rng, 8.0, 0.001, 100) for _ in range(100)]
    assert all(found)
    assert sorted(number for number in found if number)[90] <= 10


def test_one_device_that_comes_and_goes_is_no_evidence() -> None:
    test = Sprt(2.0, 0.1, 5)
    assert not test.look(Look(canary=4, control=0, canary_s=1.0, control_s=99_999.0))
    assert test.look(Look(canary=1, control=0, canary_s=1.0, control_s=99_999.0))


def test_without_time_in_both_arms_nothing_is_judged() -> None:
    test = Sprt(2.0, 0.001, 1)
    assert not test.look(Look(canary=100, control=0, canary_s=10.0, control_s=0.0))


def test_a_long_good_past_does_not_hide_what_begins_now() -> None:
    test = Sprt(2.0, 0.001, 5)
    for _ in range(1000):
        test.look(Look(canary=1, control=9, canary_s=100.0, control_s=900.0))
    assert test.rounds > 1
    assert any(test.look(Look(canary=5, control=5, canary_s=100.0, control_s=900.0)) for _ in range(10))
