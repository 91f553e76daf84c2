"""A place that fails is left alone, and tried again by one at a time."""

from __future__ import annotations

from control.outgoing.breaker import Breaker, Rules

RULES = Rules(failures=3, window=5, wait_ms=1000, longest_ms=4000, probe_ms=10_000)


def fail(breaker: Breaker, times: int, now: int = 0) -> None:
    for _ in range(times):
        permit = breaker.admit(now)
        assert permit
        breaker.done(permit, False, now)


def test_it_opens_by_failures_among_the_latest_only() -> None:
    breaker = Breaker(RULES)
    fail(breaker, 2)
    for _ in range(5):
        breaker.done(breaker.admit(0), True, 0)
    fail(breaker, 2)
    assert breaker.state(0) == "closed"
    breaker.done(breaker.admit(0), True, 0)
    fail(breaker, 1)
    assert (breaker.state(0), breaker.admit(999), breaker.opened) == ("open", 0, 1)


def test_one_probe_and_nobody_else_until_it_is_told() -> None:
    breaker = Breaker(RULES)
    fail(breaker, 3)
    assert breaker.state(1000) == "half_open"
    probe = breaker.admit(1000)
    assert probe
    assert breaker.admit(1001) == 0
    breaker.done(probe, True, 1500)
    assert breaker.state(1500) == "closed"
    fail(breaker, 2, 1500)
    assert breaker.state(1500) == "closed"


def test_the_wait_doubles_up_to_its_bound() -> None:
    breaker, now = Breaker(RULES), 0
    fail(breaker, 3)
    for wait in (1000, 2000, 4000, 4000):
        assert breaker.admit(now + wait - 1) == 0
        now += wait
        breaker.done(breaker.admit(now), False, now)
    breaker.done(breaker.admit(now + 4000), True, now + 4000)
    fail(breaker, 3, now + 4000)
    assert breaker.admit(now + 4999) == 0
    assert breaker.admit(now + 5000)


def test_what_was_asked_before_says_nothing_afterwards() -> None:
    breaker = Breaker(RULES)
    old = breaker.admit(0)
    fail(breaker, 3)
    breaker.done(old, True, 500)
    assert breaker.state(500) == "open"
    probe = breaker.admit(1000)
    breaker.done(old, False, 1100)
    breaker.done(probe, True, 1200)
    assert breaker.state(1200) == "closed"


def test_a_probe_that_was_given_up_or_lost_is_anothers_turn() -> None:
    breaker = Breaker(RULES)
    fail(breaker, 3)
    breaker.done(breaker.admit(1000), None, 1100)
    lost = breaker.admit(1100)
    assert lost
    assert breaker.admit(11_099) == 0
    probe = breaker.admit(11_100)
    assert probe
    breaker.done(lost, False, 11_200)
    breaker.done(probe, True, 11_300)
    assert breaker.state(11_300) == "closed"
