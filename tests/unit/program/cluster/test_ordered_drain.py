"""A gateway that an operator drains is as it should be: `cluster up` waits for no other."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest

from program.cluster import health, local
from program.cluster.plan import PLAN_FILE, ClusterError, make_plan


@pytest.mark.parametrize(
    ("checks", "problem", "part"),
    [
        ({"drain": "drained by order", "im": "ok"}, "", "drained by order"),
        ({"drain": "drained by order", "im": "no live im process"}, "drain: drained by order; im: no", ""),
        ({"drain": "cut off from the bus: its clients are sent away"}, "drain: cut off", ""),
    ],
)
def test_a_drain_by_order_alone_is_no_trouble(
    checks: dict[str, str], problem: str, part: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = make_plan(20_000)
    monkeypatch.setattr(health, "_get", lambda one, path: (503, json.dumps({"checks": checks})))
    found = health._ask(plan, next(each for each in plan.processes if each.kind == "gateway"))
    assert (found[0].startswith(problem), found[1]) == (True, part)
    assert bool(found[0]) == bool(problem)


def test_a_folder_keeps_the_ports_it_was_made_with(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local.engines, "missing", str)
    monkeypatch.setattr(local.engines, "as_postgres", lambda: None)
    (tmp_path / PLAN_FILE).write_bytes(msgspec.json.encode(make_plan(20_000)))
    with pytest.raises(ClusterError, match="begin at 20000"):
        local.bring_up(tmp_path, print, 21_000)
