"""The simulator counts what a phone would have had: the same for the same seed, with leaps or without."""

from __future__ import annotations

import dataclasses
import json
import random
from collections import Counter
from pathlib import Path

import msgspec
import pytest
from qianwan.connection.policy import Policy
from typer.testing import CliRunner

from program.cli.commands import program_of
from program.heartbeats.profile import (
    MIXED,
    BadProfile,
    Device,
    NetworkProfile,
    Profile,
    Regime,
    devices_of,
    read_profile,
)
from program.heartbeats.rivals import MARS_TODAY, Fixed, Mars, Ours, Rival
from program.heartbeats.simulate import DAY_S, Maker, RivalCost, Run, rivals_for, run

POLICY = Policy(adaptive=True, floor_s=60.0, ceiling_s=1800.0, ping_interval_s=60.0)
SMALL = msgspec.structs.replace(MIXED, devices=60, days=3.0)


def outcomes_of(profile: Profile, seed: int = 1) -> dict[str, RivalCost]:
    found, _ = run(profile, devices_of(profile, seed), rivals_for(POLICY), POLICY.ceiling_s, seed)
    return {outcome.name: outcome for outcome in found}


def test_a_seed_decides_everything() -> None:
    assert outcomes_of(SMALL, 3) == outcomes_of(SMALL, 3)
    assert outcomes_of(SMALL, 3) != outcomes_of(SMALL, 4)


def test_the_search_lives_near_the_best_and_a_prior_takes_minutes() -> None:
    found = outcomes_of(
        Profile([NetworkProfile("ten minutes", 1, 600.0, prior_s=580.0)], devices=40, outages_a_day=0.0)
    )
    assert found["ours"].reached == found["ours, with a prior"].reached == 1
    assert found["ours, with a prior"].hours_p90 <= 0.25
    assert found["ours"].hours_p90 <= found["Mars today"].hours_p50
    assert found["ours"].of_best >= 0.8
    assert found["ours"].deaths <= 10 / 7
    assert found["every 270 s"].deaths == 0
    assert found["every 270 s"].beats == pytest.approx(320, rel=0.01)
    assert found["ours"].wakeups < 0.75 * found["every 270 s"].wakeups


def test_who_never_learns_dies_with_every_beat() -> None:
    found = outcomes_of(Profile([NetworkProfile("short", 1, 280.0)], devices=10, days=1.0, outages_a_day=0.0))
    every = found["every 285 s"]
    assert every.deaths == pytest.approx(DAY_S / (285 + 8 + 1), rel=0.01)
    assert every.noticed_s_p50 == 285 + 8 - 280
    assert every.offline_s == pytest.approx(every.deaths * 13)
    assert every.reached == 0


class Stepping:
    """A rival of which every beat is played."""

    def __init__(self, rival: Rival) -> None:
        self._rival = rival

    def __getattr__(self, name: str) -> object:
        return getattr(self._rival, name)

    @property
    def settled(self) -> bool:
        return False


@pytest.mark.parametrize("timeout_s", [200.0, 500.0, 1e12])
@pytest.mark.parametrize(
    "maker",
    [lambda _: Fixed(270.0), lambda _: Mars(MARS_TODAY), lambda _: Ours(POLICY)],
    ids=["fixed", "mars", "ours"],
)
def test_leaps_over_what_changes_nothing_change_nothing(maker: Maker, timeout_s: float) -> None:
    outages = [(3e4 * n, 3e4 * n + 50 * n) for n in range(1, 20)]
    device = Device("one", 0.0, [Regime(0.0, timeout_s), Regime(3 * DAY_S, timeout_s / 2)], outages)
    leaping, stepping = (
        Run(device, rival, 7 * DAY_S, 1800.0, random.Random(1)).play()
        for rival in (maker(device), Stepping(maker(device)))
    )
    assert leaping.beats == pytest.approx(stepping.beats, rel=0.02)
    assert abs(leaping.deaths - stepping.deaths) <= max(3, 0.02 * stepping.deaths)
    assert sum(leaping.silent) == pytest.approx(sum(stepping.silent), rel=0.3)


def test_devices_of_a_curve_die_as_the_curve_says(tmp_path: Path) -> None:
    points = [
        {"gap_s": 240, "alive": 1.0, "died": 0},
        {"gap_s": 300, "alive": 0.6},
        {"gap_s": 900, "alive": 0.5},
    ]
    path = tmp_path / "curve.json"
    path.write_text(json.dumps({"net": "4g", "carrier": "460-00", "points": points}))
    devices = devices_of(msgspec.structs.replace(read_profile(path), devices=2000), 1)
    limits = [device.regimes[0].timeout_s for device in devices]
    assert 0.36 <= sum(limit <= 300 for limit in limits) / 2000 <= 0.44
    assert 0.06 <= sum(300 < limit <= 900 for limit in limits) / 2000 <= 0.14
    assert all(limit > 240 for limit in limits)
    assert devices[0].prior_s == 220


@pytest.mark.parametrize(
    "text", ["", "[[network]]\nname='a'", "devices = 'x'", "= 3", "[[network]]\nname='a'\ntimeout_s=-1"]
)
def test_a_profile_that_cannot_be_read_says_why(tmp_path: Path, text: str) -> None:
    path = tmp_path / "networks.toml"
    path.write_text(text)
    with pytest.raises(BadProfile, match=r"networks\.toml"):
        read_profile(path)
    assert CliRunner().invoke(program_of(["policy"]), ["policy", "simulate", str(path)]).exit_code == 2


def test_the_command_prints_json_and_draws(tmp_path: Path) -> None:
    networks, constants, page = tmp_path / "networks.toml", tmp_path / "policy.json", tmp_path / "page.html"
    networks.write_text("devices=20\ndays=1\n[[network]]\nname='a'\ntimeout_s=[200,400]\n")
    constants.write_text(json.dumps({"constants": {"floor_s": 120, "ceiling_s": 240}}))
    words = ["policy", "simulate", str(networks), "--policy", str(constants), "--json", "--plot", str(page)]
    done = CliRunner().invoke(program_of(words[:1]), words)
    assert done.exit_code == 0, done.output
    outcomes = {one["name"]: one for one in json.loads(done.output)["outcomes"]}
    assert 120 <= outcomes["ours"]["interval_s"] <= 240
    assert page.read_text().count("<svg") == 5


NATS = (270.0, 600.0, 1680.0)
"""4.5, 10 and 28 minutes."""


class Noting:
    """The clients' search, and each death with the interval that died."""

    def __init__(self, policy: Policy) -> None:
        self._ours = Ours(policy)
        self.deaths: list[tuple[float, float]] = []

    def __getattr__(self, name: str) -> object:
        return getattr(self._ours, name)

    def died(self, gap_s: float, now: float) -> None:
        self.deaths.append((now, self._ours.interval_s))
        self._ours.died(gap_s, now)


@pytest.mark.parametrize("after", NATS)
@pytest.mark.parametrize("before", NATS)
@pytest.mark.parametrize("seed", range(5))
def test_the_search_converges_survives_a_change_and_sits_on_no_interval_that_dies(
    before: float, after: float, seed: int
) -> None:
    """The code of the phones, in virtual time: half a week behind one NAT, then behind another."""
    policy = dataclasses.replace(POLICY, reprobe_s=DAY_S)
    change = 3.5 * DAY_S
    device = Device("one", 0.0, [Regime(0.0, before), Regime(change, after)], [])
    rival = Noting(policy)
    life = Run(device, rival, 7 * DAY_S, policy.ceiling_s, random.Random(seed)).play()
    best = min(after, policy.ceiling_s)
    assert life.interval_s >= 0.75 * best
    assert life.interval_s < best or not rival.settled, "beyond it is only tried"
    tried = [(round(at // (DAY_S / 2)), interval) for at, interval in rival.deaths]
    # Within the jitter of the limit an interval dies now and then: one proven in between may die again.
    assert max(Counter(tried).values(), default=0) <= 2 * policy.failures, rival.deaths
    begun = [at for at, _ in rival.deaths if at < DAY_S / 2]
    changed = [at for at, _ in rival.deaths if change <= at < change + DAY_S / 2]
    assert max(len(begun), len(changed)) <= 8 * policy.failures
    daily = [at for at, _ in rival.deaths if DAY_S / 2 <= at < change]
    assert len(daily) <= 3 * 3 * policy.failures, "it tries to do better once a day, in few steps"


def test_a_prior_makes_minutes_of_hours_and_the_command_prints_them(tmp_path: Path) -> None:
    networks = tmp_path / "networks.toml"
    rows: dict[float, list[str]] = {}
    for nat in NATS:
        networks.write_text(
            "devices=20\ndays=2\noutages_a_day=0\n"
            f"[[network]]\nname='a'\ntimeout_s={nat}\nprior_s={nat - 20}\n"
        )
        done = CliRunner().invoke(
            program_of(["policy"]), ["policy", "simulate", str(networks)], env={"COLUMNS": "200"}
        )
        assert done.exit_code == 0, done.output
        line = next(line for line in done.output.splitlines() if "ours, with a prior" in line)
        rows[nat] = [cell.strip() for cell in line.split("│")]
        profile = Profile([NetworkProfile("a", 1, nat, prior_s=nat - 20)], 20, 2.0, 0.0)
        found = outcomes_of(profile)
        with_prior, without = found["ours, with a prior"], found["ours"]
        assert with_prior.reached == without.reached == 1
        assert with_prior.hours_p90 <= 0.5 * without.hours_p50
        assert 60 * with_prior.hours_p90 <= 3 + nat / 60 + 3, "three beats at the floor, and one"
    assert without.hours_p50 > 3, "hours, without"
    assert [row[3] for row in rows.values()] == ["7 min", "12 min", "30 min"]
