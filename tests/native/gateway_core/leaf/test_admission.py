"""So many come in as may, however many ask on however many loops; the others are told when."""

from __future__ import annotations

import threading

from tests.native.gateway_core.faces.leaf import Door

NEW, KNOWN = 0, 1
SECOND = 1_000_000_000
NOW = 7 * SECOND


def door(new: float = 0, known: float = 0, burst_s: float = 1, shut: int = 0) -> Door:
    made = Door()
    made.rate(NEW, new, burst_s, NOW)
    made.rate(KNOWN, known, burst_s, NOW)
    made.door(shut, 1_000, 60_000)
    return made


def let_in(made: Door, visitor: int, at: int, tries: int = 100_000, address: bytes = b"") -> int:
    return int(made.take_many(visitor, at, tries, address))


def v4(number: int) -> bytes:
    return bytes(10) + b"\xff\xff" + number.to_bytes(4, "big")


def test_no_rate_is_no_limit() -> None:
    assert let_in(door(), NEW, NOW) == let_in(door(), KNOWN, NOW) == 100_000


def test_a_burst_comes_in_and_then_the_rate_for_ever() -> None:
    for rate in (0.5, 3, 100, 1000, 7777):
        made = door(new=rate)
        assert let_in(made, NEW, NOW) == max(2, int(rate)), rate
        tries = int(rate / 5) + 3
        passed = sum(let_in(made, NEW, NOW + n * SECOND // 10, tries) for n in range(1, 601))
        assert abs(passed - 60 * rate) <= 1, rate


def test_a_long_pause_fills_no_more_than_the_burst() -> None:
    made = door(new=100, burst_s=2)
    assert let_in(made, NEW, NOW + 1000 * SECOND) == 200


def test_the_two_kinds_of_visitors_have_a_bucket_each() -> None:
    made = door(new=10, known=100)
    assert (let_in(made, NEW, NOW), let_in(made, KNOWN, NOW)) == (10, 100)


def test_the_door_shuts_for_newcomers_first() -> None:
    assert (let_in(door(shut=1), NEW, NOW), let_in(door(shut=1), KNOWN, NOW, 9)) == (0, 9)
    assert (let_in(door(shut=2), NEW, NOW), let_in(door(shut=2), KNOWN, NOW)) == (0, 0)


def test_threads_together_get_no_more_than_one_alone() -> None:
    made = door(new=5_000)
    got: list[int] = []
    threads = [threading.Thread(target=lambda: got.append(let_in(made, NEW, NOW))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(got) == 5_000


def test_a_new_rate_gives_nobody_back_what_is_used_up() -> None:
    made = door(new=100)
    assert let_in(made, NEW, NOW) == 100
    for _ in range(50):
        made.rate(NEW, 100, 1, NOW)
        made.rate(NEW, 1000, 1, NOW)
    # what was used of it stays used: 100 of 1,000
    assert let_in(made, NEW, NOW) == 900
    made.rate(NEW, 10, 1, NOW)
    assert let_in(made, NEW, NOW) == 0
    assert let_in(made, NEW, NOW + SECOND) == 10


def test_the_refused_are_told_to_come_one_after_the_other_at_the_rate() -> None:
    made = door(new=100)
    let_in(made, NEW, NOW)
    told = [made.wait(NEW, NOW)[0] for _ in range(2_000)]
    assert told == sorted(told)
    assert 1_000 <= told[0] <= 1_020
    assert abs(told[-1] - 21_000) <= 10
    # and whoever keeps to it comes in
    late = [NOW + wait * 1_000_000 for wait in told]
    assert sum(made.take(NEW, at) for at in late) >= 1_990


def test_beyond_the_longest_wait_they_are_spread_over_its_second_half() -> None:
    for made in (door(new=10), door(new=0.001), door(shut=2)):
        let_in(made, NEW, NOW)
        told = [made.wait(NEW, NOW)[0] for _ in range(3_000)][-2_000:]
        assert all(30_000 <= wait <= 60_000 for wait in told)
        tenths = [sum(30_000 + 3_000 * n <= wait < 33_000 + 3_000 * n for wait in told) for n in range(10)]
        assert all(abs(tenth - 200) <= 20 for tenth in tenths), tenths


def test_a_faster_rate_brings_the_promised_times_nearer() -> None:
    made = door(new=100)
    let_in(made, NEW, NOW)
    for _ in range(1_000):
        made.wait(NEW, NOW)
    made.rate(NEW, 1_000, 1, NOW)
    assert made.wait(NEW, NOW)[0] < 2_200


def test_an_address_that_asks_without_end_keeps_nobody_else_out() -> None:
    """Thirty times the rate from one address, and honest ones at half of it: each comes in, at once."""
    made = door(new=10, burst_s=2)
    greedy = late = 0
    for tenth in range(1, 601):
        at = NOW + tenth * SECOND // 10
        greedy += let_in(made, NEW, at, 30, v4(7))
        if tenth % 2:
            late += not let_in(made, NEW, at, 1)
    assert late == 0
    assert abs(greedy - 60 * 5) <= 15, "the rest of the rate is for whoever asks"


def test_at_every_rate_the_half_that_is_kept_from_the_greedy_has_room_for_somebody() -> None:
    """New addresses at half the rate come in while one asks without end; who is told to come again does."""
    for rate, burst_s in ((0.1, 1), (1, 1), (1, 0), (2, 1), (5, 0.2), (20, 0.05), (100, 0)):
        made, gap, late = door(new=rate, burst_s=burst_s), int(SECOND / rate), 0
        greedy = 0
        for step in range(1, 801):
            at = NOW + step * gap // 4
            greedy += let_in(made, NEW, at, 20, v4(7))
            if step % 8 == 0:
                late += not let_in(made, NEW, at, 1, v4(1000 + step))
        assert late == 0, (rate, burst_s)
        assert 80 <= greedy <= 120, "the other half of the rate is for whoever asks"


def test_the_refused_of_a_storm_find_their_places_although_one_address_asks_without_end() -> None:
    made = door(new=100)
    let_in(made, NEW, NOW, 100)
    told = []
    for _ in range(1000):
        let_in(made, NEW, NOW, 10, v4(7))
        for _ in range(10):
            made.wait(NEW, NOW)
        assert not let_in(made, NEW, NOW, 1)
        told.append(made.wait(NEW, NOW)[0])
    assert told == sorted(told)
    assert told[-1] < 11_500, "one after the other at the rate"


def test_one_address_alone_has_the_whole_rate() -> None:
    """All clients of a balancer that says nothing of them."""
    made = door(new=100)
    first = let_in(made, NEW, NOW, 1000, v4(7))
    assert 50 <= first <= 100
    passed = sum(let_in(made, NEW, NOW + n * SECOND // 10, 100, v4(7)) for n in range(1, 601))
    assert abs(first + passed - (50 + 60 * 100)) <= 1


def test_a_network_of_ipv6_is_one_address() -> None:
    def inside(number: int) -> bytes:
        return b"\x20\x01\x0d\xb8" + bytes(4) + number.to_bytes(8, "big")

    made = door(new=1000)
    assert sum(let_in(made, NEW, NOW, 1, inside(number)) for number in range(2000)) < 600
    assert let_in(made, NEW, NOW, 1000) > 400, "the others find theirs"


def test_a_rate_near_zero_is_no_open_door() -> None:
    for rate in (0.001, 1e-9, 4e-11, 1e-12, 1e-300, 5e-324):
        made = door(new=rate, known=1000)
        made.rate(KNOWN, rate, 60, NOW)
        made.rate(KNOWN, rate, 60, NOW)
        assert (let_in(made, NEW, NOW), let_in(made, KNOWN, NOW, 9)) == (2, 2), rate
        assert (let_in(made, NEW, NOW + SECOND), let_in(made, KNOWN, NOW + SECOND)) == (0, 0), rate
        made.rate(NEW, 100, 1, NOW + SECOND)
        assert let_in(made, NEW, NOW + 2 * SECOND) >= 99, "and a new rate holds at once"
