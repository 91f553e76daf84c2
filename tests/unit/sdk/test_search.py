"""The search for the heartbeat interval against networks that drop what is silent: it converges, never sits
on an interval that dies, survives a change, and takes no other trouble for a NAT's.
"""

from __future__ import annotations

import dataclasses
import random

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from qianwan.connection.policy import DAY_S, Policy
from qianwan.connection.search import MAX_NETWORKS, Network, Search

POLICY = Policy(adaptive=True, floor_s=60.0, ceiling_s=1680.0, ping_interval_s=60.0)


@dataclasses.dataclass
class Phone:
    """A silent client behind a NAT of which an entry lives `timeout_s`."""

    search: Search
    timeout_s: float
    now: float = 1e9
    deaths: int = 0
    seed: int = 1

    def __post_init__(self) -> None:
        self.random = random.Random(self.seed)
        self.search.use("wifi", self.now)

    def beat(self) -> bool:
        jitter = self.search.policy.jitter
        gap = self.search.interval_s * (1 - jitter * self.random.random())
        self.now += gap
        if gap < self.timeout_s:
            self.search.beat(gap, self.now)
            return True
        self.now += 8
        self.deaths += 1
        self.search.died(gap, self.now)
        self.now += 1
        self.search.online(self.now)
        return False

    def until_settled(self, limit: int = 500) -> float:
        """Seconds that it took."""
        began = self.now
        for _ in range(limit):
            if self.search.settled:
                return self.now - began
            self.beat()
        raise AssertionError(f"not settled at {self.search.interval_s} s")


def phone(timeout_s: float, policy: Policy = POLICY, seed: int = 1) -> Phone:
    return Phone(Search(policy), timeout_s, seed=seed)


@pytest.mark.parametrize("timeout_s", [100.0, 270.0, 285.0, 600.0, 1200.0, 1681.0, 1e9])
@pytest.mark.parametrize("seed", range(5))
def test_it_settles_below_what_the_network_bears_and_near_to_it(timeout_s: float, seed: int) -> None:
    me = phone(timeout_s, seed=seed)
    me.until_settled()
    best = min(timeout_s, POLICY.ceiling_s)
    assert best - 2 * POLICY.step_s - POLICY.margin_s <= me.search.interval_s <= best
    assert me.deaths <= 2 * 6
    deaths = me.deaths
    for _ in range(300):
        me.beat()
    assert me.deaths == deaths  # it does not sit on an interval that dies


def test_a_prior_of_the_server_takes_minutes_instead_of_hours() -> None:
    for timeout_s in (270.0, 600.0, 1680.0):
        prior = timeout_s - 30
        alone = phone(timeout_s, dataclasses.replace(POLICY, floor_s=210.0))
        told = dataclasses.replace(POLICY, floor_s=210.0, ping_interval_s=prior, ceiling_s=prior)
        helped = phone(timeout_s, told)
        while helped.search.interval_s < prior:
            assert helped.beat()
        assert helped.now - 1e9 <= 11 * 60
        assert helped.deaths == 0
        if timeout_s > 300:
            assert alone.until_settled() > 3 * 3600


def test_a_new_network_is_verified_at_the_floor_once_and_not_at_every_reconnect() -> None:
    search = Search(dataclasses.replace(POLICY, ping_interval_s=240.0))
    search.use("wifi", 0.0)
    for n in range(3):
        assert search.interval_s == 60
        search.beat(60.0, 60.0 * n)
    assert search.interval_s == 240
    search.use("4g", 300.0)
    assert search.interval_s == 60
    search.use("wifi", 400.0)
    assert search.interval_s == 240


def test_it_finds_down_and_up_again_when_the_network_changes() -> None:
    me = phone(600.0)
    me.until_settled()
    me.timeout_s = 270.0
    deaths = me.deaths
    while not (me.search.settled and me.search.interval_s < 270):
        me.beat()
    assert me.deaths - deaths <= 8
    assert me.search.interval_s >= 270 - 140
    me.timeout_s = 1200.0
    began = me.now
    while me.search.interval_s < 1000 or not me.search.settled:
        me.beat()
    assert POLICY.reprobe_s <= me.now - began <= POLICY.reprobe_s + DAY_S


def test_a_re_probe_that_fails_costs_two_deaths_and_nothing_is_forgotten() -> None:
    me = phone(300.0)
    me.until_settled()
    settled, deaths = me.search.interval_s, me.deaths
    while me.deaths < deaths + 2:
        me.beat()
    assert me.search.settled
    assert me.search.interval_s == settled


def test_a_network_that_was_gone_teaches_nothing() -> None:
    search = Search(POLICY)
    search.use("wifi", 0.0)
    search.networks["wifi"].verify = 0
    for n in range(20):
        at = 1000.0 * n
        search.died(60.0, at)
        search.online(at + 10.5)  # too late: the network itself was away
        search.died(60.0, at + 20)
        search.use("4g", at + 21)
        search.online(at + 21)  # another network
        search.use("wifi", at + 22)
        search.died(5.0, at + 30)  # busy until just before
        search.online(at + 31)
        search.died(200.0, at + 40)  # the alarm rang late: no trial of 60 s
        search.online(at + 41)
    assert search.networks["wifi"].failures == 0


def test_one_death_in_six_is_one_too_many() -> None:
    me = phone(1e9)
    me.until_settled()
    learned = me.search.interval_s
    for n in range(60):
        me.timeout_s = 0.0 if n % 4 == 0 else 1e9
        me.beat()
    assert me.search.interval_s < learned


def test_beats_of_a_busy_connection_prove_nothing() -> None:
    search = Search(POLICY)
    search.use("wifi", 0.0)
    for n in range(100):
        search.beat(10.0, float(n))
    assert search.networks["wifi"].verify == POLICY.verify_beats


def test_a_policy_moves_what_is_known_into_its_bounds() -> None:
    me = phone(1e9)
    me.until_settled()
    assert 1600 <= me.search.interval_s <= 1680
    me.search.obey(dataclasses.replace(POLICY, ceiling_s=300.0), me.now)
    assert me.search.interval_s == 300
    me.search.obey(dataclasses.replace(POLICY, ceiling_s=900.0), me.now)
    me.until_settled()
    learned = me.search.interval_s
    assert 855 <= learned <= 900
    me.search.obey(dataclasses.replace(POLICY, adaptive=False, ping_interval_s=45.0), me.now)
    assert me.search.interval_s == 45
    me.search.obey(POLICY, me.now)
    assert me.search.interval_s == learned


def test_a_prior_that_comes_later_shortens_the_search() -> None:
    me = phone(1200.0)
    for _ in range(4):
        me.beat()
    assert me.search.interval_s < 300
    me.search.obey(dataclasses.replace(POLICY, ping_interval_s=1100.0), me.now)
    assert me.search.interval_s == 1100


def test_at_most_twenty_networks_are_kept_and_the_one_used_longest_ago_goes() -> None:
    search = Search(POLICY)
    for n in range(MAX_NETWORKS + 5):
        search.use(f"wifi/{n}", float(n))
        search.use("home", n + 0.5)
    assert len(search.networks) == MAX_NETWORKS
    assert "home" in search.networks
    assert "wifi/0" not in search.networks


def test_what_is_learned_survives_its_store() -> None:
    me = phone(600.0)
    me.until_settled()
    data = msgspec.json.encode(me.search.networks)
    again = Search(POLICY, msgspec.json.decode(data, type=dict[str, Network]))
    again.use("wifi", me.now + 60)
    assert (again.interval_s, again.settled) == (me.search.interval_s, True)


@given(st.floats(61.0, 4000.0), st.integers(0, 2**32), st.floats(10.0, 600.0), st.floats(0.0, 60.0))
def test_any_network_ends_in_an_interval_that_lives(
    timeout_s: float, seed: int, step_s: float, margin_s: float
) -> None:
    policy = dataclasses.replace(POLICY, step_s=step_s, margin_s=margin_s)
    me = phone(timeout_s, policy, seed)
    me.until_settled(2000)
    assert policy.floor_s <= me.search.interval_s <= policy.ceiling_s
    assert me.search.interval_s <= timeout_s
