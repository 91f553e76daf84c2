"""The alerts and the dashboard that are shipped: every alert fires and stays silent in Prometheus' own test;
all ask of metrics that there are, and of counters alone how they grow.
"""

from __future__ import annotations

import json
import re
import subprocess
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml
from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families

from control.metrics import SECTIONS
from control.outgoing.signing import make_secret
from tests.support.deployment import DEPLOY, installed
from tests.support.server_process import ServerProcess

FILE = DEPLOY / "prometheus" / "alerts.yml"
RULES: dict[str, dict[str, Any]] = {
    rule["alert"]: rule for group in yaml.safe_load(FILE.read_text())["groups"] for rule in group["rules"]
}
OVER_A_BUS = ("shared_keys", "upstream", "streams", "bus", "routes", "nodes", "etcd")
"""Sections that only processes of a cluster have; what is in them does not hang on the numbers."""
OF_PROMETHEUS = {"up": "gauge"}
NO_PANEL = {"qianwan_build_info"}
"""It says of a process what never changes."""
OF_THE_SUPERVISOR = {"qianwan_worker_restarts_total": "counter"}


class Case(NamedTuple):
    """Series by their selector, as promtool writes them (a minute a step), that make it fire or leave it."""

    fires: dict[str, str]
    silent: dict[str, str]
    at: str = "30m"


def grows(metric: str, fast: float, slow: float = 0.0) -> Case:
    """Of a counter: by so many a minute."""
    return Case({metric: f"0+{fast}x60"}, {metric: f"5+{slow}x60"})


def stands(metric: str, wrong: float, right: float) -> Case:
    return Case({metric: f"{wrong}x60"}, {metric: f"{right}x60"})


DAY = 86400
CASES = {
    "QianwanAway": stands('up{job="qianwan"}', 0, 1),
    "QianwanEndpointDisabled": stands('qianwan_endpoint_disabled{endpoint="shop"}', 1, 0),
    "QianwanEndpointBehind": stands('qianwan_endpoint_lag_seconds{endpoint="shop"}', 1000, 60),
    "QianwanEndpointRefusesEvents": Case(
        {
            'qianwan_endpoint_letters_total{endpoint="shop"}': "0+1x60",
            'qianwan_endpoint_gaps_total{endpoint="shop"}': "0x60",
        },
        {
            'qianwan_endpoint_letters_total{endpoint="shop"}': "5x60",
            'qianwan_endpoint_gaps_total{endpoint="shop"}': "5x60",
        },
    ),
    "QianwanEventsCut": grows("qianwan_im_events_cut_total", 1),
    "QianwanEventGroupBehind": stands("qianwan_im_events_lag_seconds", 7200, 60),
    "QianwanNotReady": Case(
        {
            'qianwan_ready{instance="a"}': "0x60",
            'qianwan_drain_active{instance="a"}': "0x60",
            'qianwan_leaving{instance="a"}': "0x60",
        },
        {
            'qianwan_ready{instance="a"}': "1x28 0 1x30",
            'qianwan_ready{instance="b"}': "0x60",
            'qianwan_drain_active{instance="b"}': "1x60",
            'qianwan_ready{instance="c"}': "0x60",
            'qianwan_leaving{instance="c"}': "1x60",
        },
    ),
    "QianwanWorkersRestart": grows("qianwan_worker_restarts_total", 0.1),
    "QianwanFewDescriptors": Case(
        {'process_open_fds{job="qianwan"}': "950x60", 'process_max_fds{job="qianwan"}': "1000x60"},
        {'process_open_fds{job="qianwan"}': "800x60", 'process_max_fds{job="qianwan"}': "1000x60"},
    ),
    "QianwanSessionsLost": Case(
        {
            'qianwan_gateway_sessions{instance="a"}': "1000x60",
            'qianwan_gateway_sessions{instance="b"}': "1000x25 100x35",
        },
        {
            'qianwan_gateway_sessions{instance="a"}': "1000x25 1900x35",
            'qianwan_gateway_sessions{instance="b"}': "1000x25 100x35",
        },
    ),
    "QianwanCanaryHarms": grows("qianwan_policy_breaches_total", 1),
    "QianwanConnectionsDie": Case(
        {
            'qianwan_policy_deaths_total{policy="a",version="1"}': "0+20x60",
            'qianwan_policy_connected_seconds_total{policy="a",version="1"}': "0+60000x60",
        },
        {
            'qianwan_policy_deaths_total{policy="a",version="1"}': "0+2x60",
            'qianwan_policy_connected_seconds_total{policy="a",version="1"}': "0+60000x60",
        },
    ),
    "QianwanPushVendorFails": stands('qianwan_push_open{vendor="apns"}', 1, 0),
    "QianwanPushRefused": Case(
        {
            'qianwan_push_total{vendor="apns",outcome="refused"}': "0+60x60",
            'qianwan_push_total{vendor="apns",outcome="sent"}': "0+60x60",
        },
        {
            'qianwan_push_total{vendor="apns",outcome="refused"}': "0+1x60",
            'qianwan_push_total{vendor="apns",outcome="sent"}': "0+600x60",
        },
    ),
    "QianwanPushLost": grows('qianwan_push_total{vendor="apns",outcome="given_up"}', 60, 1),
    "QianwanPoliciesFromDisk": stands("qianwan_policy_cached", 1, 0),
    "QianwanLoginsRefused": grows('qianwan_node_logins_refused_total{reason="expired"}', 120, 30),
    "QianwanAdmissionRefuses": Case(
        {
            "qianwan_gateway_deferred_new_total": "0+600x60",
            "qianwan_gateway_deferred_known_total": "0x60",
        },
        {
            "qianwan_gateway_deferred_new_total": "0+20x60",
            "qianwan_gateway_deferred_known_total": "0+20x60",
        },
    ),
    "QianwanDoorClosed": Case(
        {"qianwan_admission_door": "1x60"}, {"qianwan_admission_door": "0x40 1x20"}, "50m"
    ),
    "QianwanAcceptPaused": grows("qianwan_gateway_accept_pauses_total", 1),
    "QianwanDrainStuck": Case(
        {"qianwan_gateway_told": "700x90"}, {"qianwan_gateway_told": "0x20 9000-100x70"}, "60m"
    ),
    "QianwanDrainStands": Case(
        {"qianwan_drain_active": "1x300"}, {"qianwan_drain_active": "0x200 1x100"}, "290m"
    ),
    "QianwanOverloaded": stands("qianwan_overload_step", 1, 0),
    "QianwanSlowConsumers": grows("qianwan_gateway_slow_consumer_total", 120, 30),
    "QianwanQueueBytes": stands("qianwan_gateway_queued_bytes", 1e9, 1e8),
    "QianwanLoopStoodStill": Case(
        {
            'qianwan_gateway_turn_seconds_bucket{le="0.05"}': "0+100x60",
            'qianwan_gateway_turn_seconds_bucket{le="0.5"}': "0+101x60",
            'qianwan_gateway_turn_seconds_bucket{le="+Inf"}': "0+101x60",
        },
        {
            'qianwan_gateway_turn_seconds_bucket{le="0.05"}': "0+100x60",
            'qianwan_gateway_turn_seconds_bucket{le="0.5"}': "7+100x60",
            'qianwan_gateway_turn_seconds_bucket{le="+Inf"}': "7+100x60",
        },
    ),
    "QianwanCommandsDropped": grows("qianwan_downlink_dropped_total", 1),
    "QianwanEventsLost": grows("qianwan_stream_losses_total", 1),
    "QianwanBusAway": stands("qianwan_bus_connected", 0, 1),
    "QianwanNoImProcess": grows("qianwan_node_unavailable_total", 1),
    "QianwanRoutesDiffer": Case(
        {"qianwan_route_gateways_differing": "1x60"}, {"qianwan_route_gateways_differing": "0x29 1 0x30"}
    ),
    "QianwanSessionsDiffer": Case(
        {"qianwan_node_sessions": "900x60", "qianwan_gateway_sessions": "1000x60"},
        {"qianwan_node_sessions": "990x60", "qianwan_gateway_sessions": "1000x60"},
    ),
    "QianwanEtcdAway": stands("qianwan_etcd_up", 0, 1),
    "QianwanEtcdFull": stands("qianwan_etcd_full", 1, 0),
    "QianwanEtcdDenies": stands("qianwan_etcd_denied", 1, 0),
    "QianwanLeaseAtRisk": stands("qianwan_etcd_lease_left_seconds", 2, 7),
    "QianwanDivergences": grows("qianwan_etcd_divergences_total", 0.1),
    "QianwanDrainWaits": stands("qianwan_drain_waits", 1, 0),
    "QianwanNodesMute": Case(
        {"qianwan_nodes_mute": "2x60", "qianwan_bus_connected": "1x60"},
        {"qianwan_nodes_mute": "2x60", "qianwan_bus_connected": "0x60"},
    ),
    "QianwanNodesLapsed": stands("qianwan_nodes_lapsed", 1, 0),
    "QianwanClockOff": stands("qianwan_clock_off_seconds", 31, 0.2),
    "QianwanSettingsRefused": Case(
        {"qianwan_settings_live_refused": "1x60", "qianwan_settings_live_waiting": "0x60"},
        {"qianwan_settings_live_refused": "0x60", "qianwan_settings_live_waiting": "0x60"},
    ),
    "QianwanAuditFails": Case(
        {"qianwan_audit_operators_failing": "0x60", "qianwan_audit_apps_failing": "1x60"},
        {"qianwan_audit_operators_failing": "0x60", "qianwan_audit_apps_failing": "0x60"},
    ),
    "QianwanKeysNotShared": stands("qianwan_keys_unshared", 1, 0),
    "QianwanStoreRefuses": grows("qianwan_store_failed_commits_total", 1),
    "QianwanStoreSlow": Case(
        {"qianwan_store_commit_seconds_total": "0+50x60", "qianwan_store_commits_total": "0+60x60"},
        {"qianwan_store_commit_seconds_total": "0+5x60", "qianwan_store_commits_total": "0+600x60"},
    ),
    "QianwanStoreQueue": stands("qianwan_store_queued", 9000, 90),
    "QianwanClockAhead": stands("qianwan_im_clock_ahead_seconds", 3, 0),
    "QianwanCallbacksUnanswered": stands('qianwan_callbacks_open{kind="message.single"}', 1, 0),
    "QianwanEngineUnanswered": stands('qianwan_engine_questions_open{engine="text"}', 1, 0),
    "QianwanKeysEnd": Case(
        {'qianwan_key_left_seconds{kind="token"}': f"{13 * DAY}x120"},
        {'qianwan_key_left_seconds{kind="token"}': f"{20 * DAY}x120"},
        "90m",
    ),
    "QianwanKeysEndSoon": stands('qianwan_key_left_seconds{kind="server"}', DAY, 10 * DAY),
    "QianwanLbsStale": stands("qianwan_lbs_sources_stale", 1, 0),
    "QianwanLbsUnplaced": grows("qianwan_lbs_unplaced_total", 60, 1),
    "QianwanKeysGuessed": grows("qianwan_api_keys_locks_total", 2, 0.1),
}


@pytest.fixture(scope="module")
def families(tmp_path_factory: pytest.TempPathFactory) -> list[Metric]:
    """What a server exports, and what one of a cluster does beside it."""
    numbers: Any = defaultdict(int)
    found: list[Metric] = [family for name in OVER_A_BUS for family in SECTIONS[name](numbers)]
    folder = tmp_path_factory.mktemp("alerts")
    settings = {"gateway.loops": 1, "control.lbs.http": "127.0.0.1:0", "push.dry_run": True}
    settings["im.service.expire_every_ms"] = 100
    for place in ("engines.text", "engines.media"):
        settings |= {f"{place}.url": "https://engine.invalid/", f"{place}.secret": make_secret()}
    settings |= {"callbacks.url": "https://callbacks.invalid/", "callbacks.secret": make_secret()}
    with ServerProcess(folder, settings, admin="127.0.0.1:0") as server:
        server.token("alice")
        while b"qianwan_im_events_lag_seconds" not in (text := server.get("/metrics")[1]):
            time.sleep(0.05)  # until somebody has looked: what is not known is not exported
        found += text_string_to_metric_families(text.decode())
    return found


@pytest.fixture(scope="module")
def samples(families: list[Metric]) -> set[str]:
    """As an expression names them."""
    return {family.name + ("_total" if family.type == "counter" else "") for family in families}


@pytest.fixture(scope="module")
def kinds(families: list[Metric]) -> Mapping[str, str]:
    """Sample name -> type of its metric."""
    found: dict[str, str] = OF_PROMETHEUS | OF_THE_SUPERVISOR
    for family in families:
        ends = {"counter": ("_total",), "histogram": ("_bucket", "_sum", "_count")}.get(family.type, ("",))
        found |= {f"{family.name}{end}": family.type for end in ends}
    return found


def metrics_of(expression: str) -> Iterator[tuple[str, bool]]:
    """Each metric of an expression, and whether it is asked how the metric grows."""
    for match in re.finditer(r"(\w+\()?\b((?:qianwan|process)_\w+|up)\b", expression):
        yield match[2], match[1] in ("rate(", "increase(")


def test_every_alert_has_a_case() -> None:
    assert set(CASES) == set(RULES)
    assert len(RULES) >= 30


@pytest.mark.parametrize("alert", RULES)
def test_an_alert_asks_of_metrics_that_there_are(alert: str, kinds: Mapping[str, str]) -> None:
    asked = list(metrics_of(RULES[alert]["expr"]))
    assert asked
    for name, grows in asked:
        kind = kinds.get(name)
        assert kind is not None, f"no metric is called {name}"
        assert grows == (kind in ("counter", "histogram")), f"{name} is a {kind}"
        assert (kind == "counter") == name.endswith("_total")


def test_the_dashboard_has_every_metric_and_asks_of_none_that_is_not(
    kinds: Mapping[str, str], samples: set[str], tmp_path: Path
) -> None:
    shown = json.loads((DEPLOY / "grafana" / "qianwan.json").read_text())
    panels = [each for panel in shown["panels"] for each in (panel, *panel.get("panels", []))]
    assert len({panel["id"] for panel in panels}) == len(panels) > 100
    asked = {target["expr"] for panel in panels for target in panel.get("targets", [])}
    shown_names = {re.sub("_bucket$", "", name) for text in asked for name, _ in metrics_of(text)}
    assert {name for name in samples if name.startswith("qianwan_")} - shown_names <= NO_PANEL
    for expression in asked:
        for name, grows in metrics_of(expression):
            assert name in kinds, f"no metric is called {name}"
            assert grows == (kinds[name] in ("counter", "histogram")), f"{name} is a {kinds[name]}"
    filled = (text.replace("$__rate_interval", "5m").replace("$instance", ".*") for text in asked)
    rules = [{"record": f"panel:{number}", "expr": text} for number, text in enumerate(filled)]
    file = tmp_path / "panels.json"  # JSON is YAML
    file.write_text(json.dumps({"groups": [{"name": "panels", "rules": rules}]}))
    done = subprocess.run(
        [installed("promtool"), "check", "rules", str(file)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("alert", RULES)
def test_an_alert_says_what_is_and_what_to_do(alert: str) -> None:
    rule = RULES[alert]
    assert rule["labels"]["severity"] in ("page", "ticket")
    assert set(rule["annotations"]) == {"summary", "description"}
    assert re.search(r" (?:>=|>|<|==) ", rule["expr"]), "compared with a number"


def test_every_alert_fires_and_stays_silent(tmp_path: Path) -> None:
    def asked(alert: str, series: dict[str, str], at: str, fires: bool) -> dict[str, Any]:
        count = f'count(ALERTS{{alertname="{alert}", alertstate="firing"}}) or vector(0)'
        return {
            "interval": "1m",
            "input_series": [{"series": name, "values": values} for name, values in series.items()],
            "promql_expr_test": [
                {"expr": count, "eval_time": at, "exp_samples": [{"labels": "{}", "value": int(fires)}]}
            ],
        }

    files = []
    for alert, case in CASES.items():
        tests = [asked(alert, case.fires, case.at, True), asked(alert, case.silent, case.at, False)]
        rule, file = tmp_path / f"{alert}.rule.json", tmp_path / f"{alert}.json"  # JSON is YAML
        rule.write_text(json.dumps({"groups": [{"name": alert, "rules": [RULES[alert]]}]}))
        file.write_text(json.dumps({"rule_files": [str(rule)], "evaluation_interval": "1m", "tests": tests}))
        files.append(str(file))
    done = subprocess.run(
        [installed("promtool"), "test", "rules", *files],
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr


def test_prometheus_takes_the_files() -> None:
    for words in (["check", "config", str(FILE.with_name("prometheus.yml"))], ["check", "rules", str(FILE)]):
        done = subprocess.run(
            [installed("promtool"), *words], capture_output=True, text=True, timeout=60, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
