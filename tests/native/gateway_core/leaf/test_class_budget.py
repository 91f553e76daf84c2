"""What a topic lets through: each class has its own, high takes of normal, and no notice costs a message."""

from __future__ import annotations

import random

from tests.native.gateway_core.faces.leaf import Budget

MUST, HIGH, NORMAL, DECISION, NOTICE = range(5)
SECOND = 1_000_000_000


def passed(budget: Budget, cls: int, n: int, at: int) -> int:
    return sum(budget.take(cls, at) for _ in range(n))


def test_of_sixty_high_ones_at_once_as_many_arrive_as_both_budgets_hold() -> None:
    assert passed(Budget(20, 10), HIGH, 60, SECOND) == 30


def test_high_fares_as_though_no_normal_one_had_come() -> None:
    seed = random.randrange(1 << 32)
    rng = random.Random(seed)
    for _ in range(50):
        alone, mixed, at = Budget(20, 10), Budget(20, 10), SECOND
        for _ in range(400):
            at += rng.randrange(SECOND // 20)
            for _ in range(rng.randrange(4)):
                mixed.take(NORMAL, at)
            if rng.random() < 0.7:
                assert mixed.take(HIGH, at) == alone.take(HIGH, at), f"seed {seed}"


def test_normal_ones_give_way_for_as_long_as_high_ones_took_of_theirs() -> None:
    budget, at = Budget(20, 10), SECOND
    assert passed(budget, NORMAL, 45, at) == 20
    assert passed(budget, HIGH, 45, at) == 30
    assert passed(budget, NORMAL, 20, at + SECOND) == 0
    assert passed(budget, NORMAL, 40, at + 2 * SECOND) == 20


def test_in_the_long_run_a_member_gets_no_more_than_both_rates() -> None:
    seed = random.randrange(1 << 32)
    rng = random.Random(seed)
    budget, at, got = Budget(20, 10), SECOND, 0
    for _ in range(20_000):
        at += rng.randrange(SECOND // 100)
        got += budget.take(rng.choice((HIGH, NORMAL)), at)
    assert got <= 30 * at / SECOND + 60, f"seed {seed}"


def test_no_notice_displaces_a_message_and_no_member_what_a_manager_decided() -> None:
    budget, at = Budget(20, 10, 5), SECOND
    assert passed(budget, NOTICE, 1000, at) == 5
    assert passed(budget, DECISION, 1000, at) == 5
    assert passed(budget, NORMAL, 20, at) == 20
    assert passed(budget, HIGH, 10, at) == 10
    assert passed(budget, MUST, 1000, at) == 1000


def test_no_rate_is_no_limit_and_high_ones_have_that_of_normal_ones_too() -> None:
    assert passed(Budget(0, 10), HIGH, 1000, SECOND) == 1000
    assert passed(Budget(20, 0), HIGH, 1000, SECOND) == 1000
    assert passed(Budget(20, 0), NORMAL, 1000, SECOND) == 20
    assert passed(Budget(20, 10, 0), NOTICE, 1000, SECOND) == 1000


def test_less_than_one_a_second_is_one_at_once() -> None:
    budget = Budget(0.25, 0.25)
    assert [budget.take(NORMAL, n * SECOND) for n in range(1, 10)] == [True, *[False] * 3] * 2 + [True]


def test_new_rates_begin_full_and_the_same_ones_change_nothing() -> None:
    budget, at = Budget(5, 0), SECOND
    assert passed(budget, NORMAL, 9, at) == 5
    budget.set(5, 0, 0, at)
    assert passed(budget, NORMAL, 9, at) == 0
    budget.set(7, 0, 0, at)
    assert passed(budget, NORMAL, 9, at) == 7
