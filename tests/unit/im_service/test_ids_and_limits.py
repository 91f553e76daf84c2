"""Ids order by time, limits let through exactly what they say."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from frame.constants import ID_PATTERN
from im_service.errors import ImError
from im_service.ids import (
    ServerIds,
    check_id,
    check_sender,
    kind_of,
    peer_of,
    single,
    split_single,
    time_of,
)
from im_service.rates import Bucket, Limiter, Rate

NOW = 1_800_000_000_000
names = st.from_regex(ID_PATTERN, fullmatch=True)


@given(names, names)
def test_both_sides_name_the_same_conversation(a: str, b: str) -> None:
    if a == b:
        return
    assert single(a, b) == single(b, a)
    assert set(split_single(single(a, b))) == {a, b}
    assert peer_of(single(a, b), a) == b
    first, second = split_single(single(a, b))
    assert first.encode() < second.encode()


@pytest.mark.parametrize("bad", ["", "a b", "a/b", "a:b", "x" * 65, "a\n", "ä", "#"])
def test_ids_outside_the_grammar_are_refused(bad: str) -> None:
    with pytest.raises(ImError) as caught:
        check_id(bad, "user")
    assert caught.value.code == 414


@pytest.mark.parametrize("name", ["@", "@system", "@team"])
def test_ids_of_the_server_are_nobody_elses(name: str) -> None:
    with pytest.raises(ImError) as caught:
        check_id(name, "user")
    assert caught.value.code == 414
    assert check_sender(name) == name


def test_an_address_of_mail_is_an_id() -> None:
    assert check_id("ann@example.org", "user")


@pytest.mark.parametrize("bad", ["", "s/", "x/a", "s", "g/"])
def test_conversations_have_a_kind(bad: str) -> None:
    with pytest.raises(ImError):
        kind_of(bad)


def test_a_stranger_has_no_peer() -> None:
    with pytest.raises(ImError) as caught:
        peer_of("s/a:b", "c")
    assert caught.value.code == 403


@given(st.lists(st.integers(NOW, NOW + 50), min_size=1, max_size=300), st.integers(0, 1023))
def test_server_ids_only_grow_even_when_the_clock_steps_back(times: list[int], node: int) -> None:
    ids = ServerIds(node)
    made = [ids.next(ms) for ms in times]
    assert made == sorted(set(made))
    assert all(0 < number < 1 << 63 for number in made)


def test_more_ids_than_a_millisecond_holds_borrow_from_the_next() -> None:
    ids = ServerIds(5)
    made = [ids.next(NOW) for _ in range(10_000)]
    assert len(set(made)) == 10_000
    assert time_of(made[0]) == NOW
    assert time_of(made[-1]) == NOW + 2


def test_two_nodes_never_make_the_same_id() -> None:
    one, two = ServerIds(1), ServerIds(2)
    assert not {one.next(NOW) for _ in range(5000)} & {two.next(NOW) for _ in range(5000)}


@given(st.integers(1, 1000), st.integers(1, 50), st.lists(st.integers(0, 2000), max_size=200))
def test_no_window_lets_more_through_than_burst_and_rate(per_s: int, burst: int, gaps: list[int]) -> None:
    limiter, bucket, now = Limiter(Rate(per_s, burst)), Bucket(), NOW
    passed: list[int] = []
    for gap in gaps:
        now += gap
        wait = limiter.take(bucket, now)
        if wait == 0:
            passed.append(now)
        else:
            assert limiter.take(bucket, now + wait) == 0, "the wait that was named is enough"
            passed.append(now + wait)
            now += wait
    for i, start in enumerate(passed):
        for j in range(i, len(passed)):
            assert j - i + 1 <= burst + (passed[j] - start) * per_s / 1000 + 1


def test_a_burst_passes_at_once_and_then_waits() -> None:
    limiter, bucket = Limiter(Rate(10, 5)), Bucket()
    assert [limiter.take(bucket, NOW) for _ in range(6)] == [0, 0, 0, 0, 0, 100]


def test_a_refusal_takes_no_token() -> None:
    limiter, bucket = Limiter(Rate(1, 1)), Bucket()
    assert limiter.take(bucket, NOW) == 0
    assert [limiter.take(bucket, NOW + 999) for _ in range(5)] == [1] * 5
    assert limiter.take(bucket, NOW + 1000) == 0


def test_zero_switches_a_limit_off() -> None:
    assert Limiter(Rate(0)).off


def test_what_was_used_under_a_rate_set_by_mistake_is_not_owed_for_hours() -> None:
    limiter, bucket, spread = Limiter(Rate(500, 2000)), Bucket(), Bucket()
    limiter.set(Rate(0.01, 2000))
    assert [limiter.take(bucket, 1000) for _ in range(10)] == [0] * 10
    limiter.charge(spread, 1000, 5000)
    limiter.set(Rate(500, 2000))
    assert limiter.take(bucket, 2000) <= 2
    assert limiter.owed(spread, 2000) == 0
    assert limiter.take(bucket, 2010) == 0
    assert [limiter.take(bucket, 10_000) > 0 for _ in range(2001)] == [False] * 2000 + [True]


def test_a_rate_is_off_or_of_some_use() -> None:
    assert list(Rate(0.0).problems()) == list(Rate(0.01).problems()) == []
    assert [keys for keys, _ in Rate(5e-324).problems()] == [("per_s",)]
