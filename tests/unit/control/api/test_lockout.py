"""Who guesses API keys is locked out, for longer each time, and takes no key from anybody else."""

from __future__ import annotations

import pytest

from control.api.lockout import DOUBLINGS, ENTRIES, Lockout, network_of

HERE, ELSEWHERE, KEY, OTHER = "10.0.0.1", "10.0.0.2", "0123456789ab", "ba9876543210"


def guess(lockout: Lockout, times: int, now: float, key: str = KEY, address: str = HERE) -> None:
    for _ in range(times):
        lockout.failed(address, key, now)


def test_the_last_allowed_guess_locks_that_key_there_and_nowhere_else() -> None:
    lockout = Lockout(3, 60.0)
    guess(lockout, 2, 0.0)
    assert lockout.wait(HERE, KEY, 0.0) == 0.0
    guess(lockout, 1, 0.0)
    assert lockout.wait(HERE, KEY, 1.0) == 59.0
    assert lockout.wait(HERE, KEY, 60.0) == 0.0
    assert lockout.wait(ELSEWHERE, KEY, 1.0) == 0.0
    assert lockout.wait(HERE, OTHER, 1.0) == 0.0


def test_a_network_that_tries_many_keys_is_locked() -> None:
    lockout = Lockout(3, 60.0)
    for number in range(15):
        guess(lockout, 1, 0.0, f"{number:012x}")
    assert lockout.wait(HERE, KEY, 0.0) == 60.0
    assert lockout.wait(ELSEWHERE, KEY, 0.0) == 0.0


def test_each_further_lock_is_twice_as_long_and_ends_growing() -> None:
    lockout, now, seen = Lockout(1, 10.0), 0.0, []
    for _ in range(DOUBLINGS + 3):
        guess(lockout, 1, now)
        seen.append(lockout.wait(HERE, KEY, now))
        now += seen[-1]
    assert seen == [10.0 * 2 ** min(n, DOUBLINGS) for n in range(DOUBLINGS + 3)]
    now += 10 * 10.0 + 1
    guess(lockout, 1, now)
    assert lockout.wait(HERE, KEY, now) == 10.0, "who stops for a while starts anew"


def test_the_table_is_bounded() -> None:
    lockout = Lockout(3, 60.0)
    for number in range(ENTRIES + 100):
        guess(lockout, 1, 0.0, address=f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}")
    assert len(lockout._failed) == ENTRIES


def test_it_counts_what_it_saw() -> None:
    lockout = Lockout(2, 60.0)
    guess(lockout, 2, 0.0)
    assert lockout.wait(HERE, KEY, 1.0) > 0
    assert lockout.stats(1.0) == {"failures_total": 2, "locks_total": 1, "refused_total": 1, "locked": 1}
    assert lockout.stats(61.0)["locked"] == 0


def test_nobody_is_locked_where_the_setting_is_zero() -> None:
    lockout = Lockout(0, 60.0)
    guess(lockout, 1000, 0.0)
    assert lockout.wait(HERE, KEY, 0.0) == 0.0


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("10.1.2.3", "10.1.2.3"),
        ("::ffff:10.1.2.3", "10.1.2.3"),
        ("2001:db8::1", "2001:db8::/64"),
        ("2001:db8:0:0:ffff::2", "2001:db8::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("", ""),
    ],
)
def test_an_ipv6_guesser_is_known_by_its_network(address: str, network: str) -> None:
    assert network_of(address) == network
