"""Which faults a round has, and what the closing lines say."""

from __future__ import annotations

import argparse
import random
from typing import cast

from msgspec.structs import replace

from program.cluster.faults import ACTS, Outcome
from program.cluster.health import Health
from program.cluster.local import LocalCluster
from program.cluster.plan import ClusterPlan, make_plan
from program.cluster.starts import Deaf
from tools.faults import CUTS, KINDS, Found, Planner, shown


class Looked:
    """A cluster as the planner asks it."""

    def __init__(self) -> None:
        self.plan: ClusterPlan = make_plan()

    def status(self) -> list[Health]:
        parts = {"etcd-1": "follower", "etcd-2": "leader", "etcd-3": "follower"}
        return [
            Health(one.name, one.address, 1, True, parts.get(one.name, "")) for one in self.plan.processes
        ]


def planner(seed: int, kinds: tuple[str, ...] = KINDS, acts: tuple[str, ...] = ACTS) -> Planner:
    words = argparse.Namespace(kinds=kinds, acts=acts, away_s=120.0, cut_s=25.0)
    return Planner(cast("LocalCluster", Looked()), words, random.Random(seed))


CLEAN = Outcome(
    fault="killed",
    victim="im-1",
    acked=9,
    lost=0,
    doubled=0,
    swapped=0,
    errors=0,
    cut=0,
    logins=0,
    most_logins=0,
    slowest_s=1.0,
    normal_s=1.0,
    back_s=1.0,
    guests=0,
    served=0,
    whole=True,
    complaints=[],
)


def test_a_round_does_everything_to_everybody_and_its_seed_repeats_it() -> None:
    found = planner(7).round()
    done = {(act, kind) for act, kind, *_ in found}
    assert {(act, kind) for act in ("killed", "stopped") for kind in KINDS} <= done
    assert {("away", "etcd"), ("away", "nats")} <= done
    cuts = [(kind, of, way) for act, kind, _, of, way in found if act == "cut off"]
    assert {(kind, of) for kind, of, _ in cuts} == set(CUTS)
    for kind, of in CUTS:
        assert sum(each[:2] == (kind, of) and each[2] != "both" for each in cuts) == 1
    assert found[-1][0] == "restarted"
    assert found == planner(7).round() != planner(8).round()


def test_a_part_of_the_table_can_be_asked_for() -> None:
    found = planner(1, ("nats",), ("killed", "away")).round()
    assert sorted(each[:2] for each in found) == [("away", "nats"), ("killed", "nats")]


def test_the_leader_of_etcd_is_hit_where_the_leader_is_meant() -> None:
    found = planner(1)
    assert found.fault("killed", "etcd", "leader", None, "both").victims == ("etcd-2",)
    assert found.fault("away", "etcd", "", None, "both").victims == ("etcd-1", "etcd-2", "etcd-3")
    assert set(found.fault("restarted", "gateway", "", None, "both").victims) == {
        one.name for one in make_plan().processes
    }


def test_one_line_that_is_not_clean_is_told_and_fails_the_run() -> None:
    assert Found(faults=[CLEAN]).clean
    for bad in (
        replace(CLEAN, lost=1),
        replace(CLEAN, doubled=1),
        replace(CLEAN, swapped=1),
        replace(CLEAN, whole=False),
        replace(CLEAN, complaints=["x"]),
    ):
        found = Found(faults=[CLEAN, bad])
        assert not found.clean
        assert next(found.sums()).startswith("2 faults; 1 cost a message")
    assert shown(replace(CLEAN, whole=False, complaints=["x"]), "").endswith("NOT WHOLE; x")
    deaf = Found(starts=[Deaf(0, 0, 0), Deaf(1, 2, 3)])
    assert not deaf.clean
    assert list(deaf.sums())[-1] == "2 starts of im: deaf in the group 1, in the room 2, to kicks 3"
