"""The Grafana dashboard, from the metrics the program defines; the table of alerts in docs/OPERATIONS.md."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import yaml
from prometheus_client import Metric

from control.audit.entry import TRAILS
from control.metrics import GATEWAY_COUNTERS, GATEWAY_LIVE, SECTIONS
from control.workers.report_http import EMPTY
from tools.parts.made import Made, markdown

DASHBOARD = "deploy/grafana/qianwan.json"
ALERTS = "deploy/prometheus/alerts.yml"
WIDTH, HEIGHT, COLUMNS = 8, 7, 24
OF = 'instance=~"$instance"'
Json = dict[str, Any]


class Panel(NamedTuple):
    title: str
    expressions: tuple[str, ...]
    unit: str = "short"
    text: str = ""
    legend: str = "__auto"


def rate(counter: str, by: str = "instance") -> str:
    return f"sum by ({by}) (rate({counter}{{{OF}}}[$__rate_interval]))"


def now(gauge: str) -> str:
    return f"{gauge}{{{OF}}}"


def quantile(histogram: str, share: float) -> str:
    return f"histogram_quantile({share}, {rate(f'{histogram}_bucket', 'le, instance')})"


OVERVIEW = (
    Panel("Sessions", (now("qianwan_gateway_sessions"),)),
    Panel("Ready", (now("qianwan_ready"), now("qianwan_leaving")), "bool_yes_no"),
    Panel(
        "Nodes known",
        tuple(now(f"qianwan_nodes{what}") for what in ("", "_lapsed", "_mute", "_draining")),
    ),
    Panel("Logins", (rate("qianwan_node_logins_total"),), "ops"),
    Panel("Logins refused", (rate("qianwan_node_logins_refused_total", "reason"),), "ops"),
    Panel("Connections ended", (rate("qianwan_gateway_closed_total", "reason"),), "ops"),
    Panel("Frames sent", (rate("qianwan_gateway_frames_out_total"),), "ops"),
    Panel(
        "Bytes", (rate("qianwan_gateway_bytes_in_total"), rate("qianwan_gateway_bytes_out_total")), "Bps",
    ),
    Panel(
        "Where the loops' time goes", (rate("qianwan_gateway_stage_seconds_total", "stage"),), "percentunit",
    ),
    Panel("Longest turns of a loop", (quantile("qianwan_gateway_turn_seconds", 0.999),), "s"),
    Panel("Queued for clients", (now("qianwan_gateway_queued_bytes"),), "bytes"),
    Panel("Commits", (rate("qianwan_store_commits_total"),), "ops"),
    Panel(
        "A commit takes",
        (f"{rate('qianwan_store_commit_seconds_total')} / {rate('qianwan_store_commits_total')}",),
        "s",
    ),
    Panel("Writes that wait for the store", (now("qianwan_store_queued"),)),
    Panel("Memory", (now("process_resident_memory_bytes"),), "bytes"),
    Panel("CPU", (rate("process_cpu_seconds_total"),), "percentunit"),
    Panel("Open files", (now("process_open_fds"), now("process_max_fds"))),
)  # fmt: skip
"""What to look at first, by what it is asked for; the rows below it have every metric."""

LISTENER = "connections_refused_total requests_late_total requests_malformed_total clients_gone_total"
POLLS = "long_polls long_polls_cut_total"
NAMED: Mapping[str, str] = {
    "service": "sessions room_dropped_normal_total room_dropped_high_total room_dropped_notices_total"
    " push_dropped_total receipt_pushes_dropped_total clock_ahead_seconds"
    " events_bytes events_cut_total events_lag events_lag_seconds"
    " erasures_open erasures_total erasure_pages_total"
    " media_waiting media_dropped_total media_given_up_total media_recalled_total"
    " push_taken_up_total media_taken_up_total",
    "store": "last_message last_conversation last_account schema queued commits_total commit_seconds_total"
    " committed_messages_total failed_commits_total reads_total rows_read_total bytes",
    "audit": " ".join(
        f"{trail}_{name}" for trail in TRAILS for name in ("entries_total", "lost_total", "failing", "bytes")
    ),
    "api_keys": "failures_total locks_total refused_total locked",
    "lbs": "answers_total unplaced_total rate_limited_total addresses table_lines sources_read_total"
    " sources_refused_total sources_stale",
    "http": f"{LISTENER} {POLLS}",
    "admin": f"{LISTENER} {POLLS}",
    "lbs_http": LISTENER,
}
"""Sections whose parts give numbers their names; a test holds the dashboard against what a server exports."""
SAMPLES: Mapping[str, Any] = {
    **EMPTY,
    **{section: dict.fromkeys(names.split(), 0) for section, names in NAMED.items()},
    "routes": defaultdict(int),
    "keys": {"server": 0.0},
    "gateway_stats": {
        **dict.fromkeys((*GATEWAY_COUNTERS, "eased_events", "max_mailbox_fill", "max_events_fill"), 0),
        "live": dict.fromkeys(GATEWAY_LIVE, 0), "turns": {"over": 0}, "turns_sum_ms": 0, "max_turn_ms": 0,
    },
    "moderation": {"looked": 0, "hits": {}, "decisions": {}},
    "callbacks": {"answers": {}, "seconds": {}, "open": {}, "under_way": 0},
    "engines": {"answers": {}, "seconds": {}, "open": {}, "under_way": 0, "cached": 0},
    "endpoints": {
        "lag_events": {}, "lag_seconds": {}, "disabled": {}, "delivered": {}, "letters": {}, "gaps": {},
        "requests": {},
    },
    "push": {"outcomes": {}, "retries": {}, "seconds": {}, "queued": {}, "open": {}},
    "policy_guard": {"breaches": 0, "looks": 0, "evidence": {}},
    "live_settings": defaultdict(int),
    "shared_keys": defaultdict(int),
}  # fmt: skip
"""Numbers from which a section makes its metrics: the names do not hang on them."""
ROWS = (
    ("Admission", "admission"),
    ("Heartbeat policies", "policy"),
    ("Guard of canaries", "policy_guard"),
    ("Drains and moves", "drain"),
    ("Overload", "overload"),
    ("Moderation", "moderation"),
    ("Callbacks", "callbacks"),
    ("Engines", "engines"),
    ("Endpoints of the event copy", "endpoints"),
    ("Push", "push"),
    ("Wiring of a node", "node"),
    ("To the im processes", "upstream"),
    ("Routes", "routes"),
    ("Streams between processes", "streams"),
    ("Bus", "bus"),
    ("Cluster", "nodes"),
    ("etcd", "etcd"),
    ("Keys", "keys"),
    ("Shared keys", "shared_keys"),
    ("API keys", "api_keys"),
    ("Audit log", "audit"),
    ("Live settings", "live_settings"),
    ("LBS", "lbs"),
    ("Message service", "service"),
    ("Store", "store"),
    ("HTTP", "http"),
    ("Admin HTTP", "admin"),
    ("LBS HTTP", "lbs_http"),
)


def of_section(name: str) -> Iterator[Panel]:
    for family in SECTIONS[name](SAMPLES[name]):
        yield of_family(family)


def of_family(family: Metric) -> Panel:
    unit = "s" if family.name.endswith("_seconds") else "bytes" if family.name.endswith("_bytes") else "short"
    if family.type == "counter":
        return Panel(
            family.documentation, (f"rate({family.name}_total{{{OF}}}[$__rate_interval])",), "ops",
            family.name,
        )  # fmt: skip
    return Panel(family.documentation, (now(family.name),), unit, family.name)


def of_the_core() -> Iterator[Panel]:
    for section in ("gateway_stats", "gateway_stages"):
        for family in SECTIONS[section](SAMPLES[section]):
            if family.type != "histogram":  # shown as quantiles above
                yield of_family(family)


def dashboard() -> str:
    panels: list[Json] = []
    y = 0

    def add(title: str, row: Iterable[Panel], collapsed: bool) -> None:
        nonlocal y
        head: Json = {
            "type": "row", "title": title, "collapsed": collapsed, "panels": [], "id": 0,
            "gridPos": {"x": 0, "y": y, "w": COLUMNS, "h": 1},
        }  # fmt: skip
        panels.append(head)
        y += 1
        below = [_panel(panel, number, y) for number, panel in enumerate(row)]
        if collapsed:
            head["panels"] = below
        else:
            panels.extend(below)
            y += HEIGHT * -(-len(below) * WIDTH // COLUMNS)

    add("Overview", OVERVIEW, collapsed=False)
    for title, section in ROWS:
        add(title, of_section(section), collapsed=True)
    add("Core of the gateway", of_the_core(), collapsed=True)
    for number, panel in enumerate([each for one in panels for each in (one, *one.get("panels", []))], 1):
        panel["id"] = number
    made = {
        "title": "Qianwan", "uid": "qianwan", "tags": ["qianwan"], "schemaVersion": 39, "version": 1,
        "editable": True, "refresh": "30s", "time": {"from": "now-3h", "to": "now"}, "timezone": "",
        "templating": {"list": _variables()}, "panels": panels,
    }  # fmt: skip
    return json.dumps(made, indent=1, ensure_ascii=False) + "\n"


def _panel(panel: Panel, number: int, y: int) -> Json:
    across = COLUMNS // WIDTH
    return {
        "type": "timeseries",
        "title": panel.title,
        "description": panel.text,
        "id": 0,
        "datasource": {"type": "prometheus", "uid": "${datasource}"},
        "gridPos": {
            "x": number % across * WIDTH, "y": y + number // across * HEIGHT, "w": WIDTH, "h": HEIGHT,
        },
        "fieldConfig": {"defaults": {"unit": panel.unit, "min": 0}, "overrides": []},
        "options": {"legend": {"displayMode": "list", "placement": "bottom"}, "tooltip": {"mode": "multi"}},
        "targets": [
            {"refId": chr(ord("A") + index), "expr": expression, "legendFormat": panel.legend}
            for index, expression in enumerate(panel.expressions)
        ],
    }  # fmt: skip


def _variables() -> list[Json]:
    return [
        {"name": "datasource", "type": "datasource", "query": "prometheus", "label": "Prometheus"},
        {
            "name": "instance", "type": "query", "label": "Process",
            "query": "label_values(qianwan_ready, instance)",
            "datasource": {"type": "prometheus", "uid": "${datasource}"}, "refresh": 2, "multi": True,
            "includeAll": True, "allValue": ".*", "current": {"text": "All", "value": "$__all"},
        },
    ]  # fmt: skip


def alerts_table(root: Path) -> str:
    groups = yaml.safe_load((root / ALERTS).read_text(encoding="utf-8"))["groups"]
    rules = [rule for group in groups for rule in group["rules"]]
    return markdown(
        ["alert", "", "expression", "for", "what to do"],
        (
            (
                rule["alert"].removeprefix("Qianwan"), rule["labels"]["severity"], f"`{rule['expr']}`",
                rule.get("for", ""), rule["annotations"]["description"],
            )
            for rule in rules
        ),
    )  # fmt: skip


def make(root: Path) -> Made:
    return Made({DASHBOARD: dashboard()}, {"docs/OPERATIONS.md": {"alerts": alerts_table(root)}})
