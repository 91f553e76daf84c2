"""The alerts of docs/OPERATIONS.md ask of metrics that there are, and of counters alone how they grow."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families

from control.metrics import SECTIONS
from tests.support.server_process import ServerProcess
from tests.support.tree import ROOT

OVER_A_BUS = ("upstream", "streams", "bus", "routes")
"""Sections that only processes of a cluster have; what is in them does not hang on the numbers."""


def alerts() -> dict[str, str]:
    page = (ROOT / "docs" / "OPERATIONS.md").read_text()
    table = page.split("| alert | expression |", 1)[1].split("\n\n", 1)[0]
    return dict(re.findall(r"^\| ([^|]+?) \| `([^`]+)`", table, re.MULTILINE))


ALERTS = alerts()


@pytest.fixture(scope="module")
def kinds(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, str]:
    """Sample name -> type of its metric."""
    numbers: Any = defaultdict(int)
    families: list[Metric] = [family for name in OVER_A_BUS for family in SECTIONS[name](numbers)]
    found: dict[str, str] = {}
    with ServerProcess(tmp_path_factory.mktemp("alerts"), {"gateway.loops": 1}) as server:
        server.token("alice")
        families += text_string_to_metric_families(server.get("/metrics")[1].decode())
    for family in families:
        found |= {f"{family.name}{end}": family.type for end in ("", "_total", "_bucket", "_sum", "_count")}
    return found


def test_the_table_is_read() -> None:
    assert len(ALERTS) >= 9


@pytest.mark.parametrize("alert", ALERTS, ids=str)
def test_an_alert_asks_of_a_metric_that_there_is(alert: str, kinds: Mapping[str, str]) -> None:
    names = re.findall(r"qianwan_\w+", ALERTS[alert])
    assert names
    for name in names:
        kind = kinds.get(name)
        assert kind is not None, f"no metric is called {name}"
        assert (kind == "counter") == name.endswith("_total"), f"{name} is a {kind}"
        grows = re.search(rf"(?:rate|increase)\({name}\[", ALERTS[alert]) is not None
        assert grows == (kind in ("counter", "histogram")), f"{name} is a {kind}"


def test_prometheus_takes_the_alerts(tmp_path: Path) -> None:
    """By promtool where it is installed; everywhere: brackets are closed and something is compared."""
    for expression in ALERTS.values():
        assert expression.count("(") == expression.count(")")
        assert re.search(r" (?:>|<|==) [\d *.]+$", expression), expression
    if promtool := shutil.which("promtool"):
        rules = [{"alert": re.sub(r"\W+", "_", name), "expr": text} for name, text in ALERTS.items()]
        file = tmp_path / "rules.json"  # JSON is YAML
        file.write_text(json.dumps({"groups": [{"name": "qianwan", "rules": rules}]}))
        done = subprocess.run([promtool, "check", "rules", str(file)], capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
