"""Whom a policy is for, and what is refused of one."""

from __future__ import annotations

import msgspec
import pytest

from control.policy.checks import Limits, cost_of, differences, errors
from control.policy.model import Client, Constants, Match, Policy, Report, body_of, matches, version_in

ROOMY = Limits(beats_per_s=1e6, mah_a_day=1e6, connections=0)
PHONE = Client("4g", "46000", "cn-north", 1, "5.2.1")


@pytest.mark.parametrize(
    ("match", "fits"),
    [
        (Match(), True),
        (Match(net=["4g", "5g"]), True),
        (Match(net=["wifi"]), False),
        (Match(carrier=["46000"], region=["cn-north"], platform=["android"]), True),
        (Match(carrier=["46001"]), False),
        (Match(region=["cn-south"]), False),
        (Match(platform=["ios"]), False),
        (Match(version="5.2"), True),
        (Match(version="5.20"), False),
    ],
)
def test_every_member_that_is_written_must_fit(match: Match, fits: bool) -> None:
    assert matches(match, PHONE) is fits


@pytest.mark.parametrize(
    ("wanted", "version", "fits"),
    [
        ("5.2", "5.2", True),
        ("5.2", "5.20.1", False),
        ("5.0..5.9", "5.9.9", True),
        ("5.0..5.9", "5.10", False),
        ("5.0..5.9", "4.9", False),
        ("6..", "10.0", True),
        ("..3", "3.7", True),
        ("..3", "4", False),
        ("5", "", False),
        ("5", "beta", False),
        ("5.2", "5.2-rc1", True),
    ],
)
def test_versions_are_numbers_not_letters(wanted: str, version: str, fits: bool) -> None:
    assert version_in(wanted, version) is fits


def test_what_a_client_claims_is_cut_to_what_may_be_kept() -> None:
    client = Report(net="moon", carrier="c" * 100, version="v" * 100).client(99)
    assert (client.net, len(client.carrier), len(client.version), client.platform) == ("other", 32, 32, 99)


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"ping_interval_s": 30.0}, "floor_s"),
        ({"ping_interval_s": 700.0}, "ceiling_s"),
        ({"foreground_s": 900.0}, "foreground_s"),
        ({"step_s": 700.0}, "step_s"),
        ({"margin_s": 210.0}, "margin_s"),
        ({"pong_min_s": 9.0}, "pong_min_s"),
        ({"foreground_s": 8.0}, "pong_max_s"),
        ({"backoff_base_s": 61.0}, "backoff_base_s"),
        ({"stagger_s": 11.0}, "stagger_s"),
    ],
)
def test_each_order_of_constants_is_held(change: dict[str, float], word: str) -> None:
    constants = msgspec.structs.replace(Constants(), **change)
    found = errors(Policy(constants=constants), ROOMY)
    assert found
    assert word in found[0]
    assert errors(Policy(), ROOMY) == []


def test_a_policy_must_fit_the_fleet_and_the_battery() -> None:
    limits = Limits(beats_per_s=1000.0, mah_a_day=50.0, connections=1_000_000)
    fleet, battery = errors(Policy(), limits)
    assert "beats_per_s" in fleet
    assert "mah_a_day" in battery
    wifi = Policy(match=Match(net=["wifi"]))
    assert errors(wifi, Limits(beats_per_s=5000.0, mah_a_day=50.0, connections=1_000_000)) == []


def test_the_cost_is_that_of_the_reference() -> None:
    """60 s beats at 9.2 J: 1440 a day, about 990 mAh; 1 M connections at 270 s: 3.7 k beats a second."""
    fixed = Constants(adaptive=False, ping_interval_s=60.0)
    cost = cost_of(Policy(constants=fixed), 1_000_000)
    assert cost.beats_a_day_slowest == cost.beats_a_day_fastest == 1440
    assert 980 < cost.mah_a_day_slowest < 1000
    slower = cost_of(Policy(constants=Constants(adaptive=False, ping_interval_s=270.0)), 1_000_000)
    assert 3600 < slower.beats_per_s < 3800


def test_a_policy_on_the_wire_fits_and_has_every_constant() -> None:
    body = body_of(Constants(), 12)
    sent = msgspec.msgpack.decode(body)
    assert set(sent) == {"rev", *Constants.__struct_fields__}
    assert sent["rev"] == 12
    assert len(body) < 420


def test_differences_name_what_changed() -> None:
    old, new = Policy(), Policy(rank=3, match=Match(net=["4g"]), constants=Constants(step_s=30.0))
    assert [line.partition(":")[0] for line in differences(old, new)] == [
        "match.net", "constants.step_s", "rank",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("match", "word"),
    [
        (Match(platform=["nokia"]), "nokia"),
        (Match(version="beta"), "beta"),
        (Match(version="5.9..5.0"), "ends before"),
        (Match(app=["chat"]), "app"),
    ],
)
def test_a_match_that_nobody_can_meet_is_refused(match: Match, word: str) -> None:
    assert word in errors(Policy(match=match), ROOMY)[0]
