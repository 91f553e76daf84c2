"""The live table of `qianwan top`, from two readings of /metrics."""

from __future__ import annotations

import time
import urllib.error
import urllib.request
from dataclasses import dataclass

from prometheus_client.parser import text_string_to_metric_families
from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from control.metrics import LONGEST_TURN, TURNS, longest_turn_s

HTTP_TIMEOUT_S = 5.0


@dataclass(frozen=True)
class Reading:
    """One scrape. Keys are (metric, label value or "")."""

    at: float
    values: dict[tuple[str, str], float]
    node: str

    def get(self, metric: str, label: str = "") -> float:
        return self.values.get((metric, label), 0.0)


def read(url: str) -> Reading:
    """Scrape `url`/metrics. Raises OSError."""
    with urllib.request.urlopen(f"{url.rstrip('/')}/metrics", timeout=HTTP_TIMEOUT_S) as answer:
        text = answer.read().decode()
    values: dict[tuple[str, str], float] = {}
    node = ""
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            values[sample.name, next(iter(sample.labels.values()), "")] = sample.value
            if sample.name == "qianwan_build_info":
                node = sample.labels["node"]
    return Reading(time.monotonic(), values, node)


def render(before: Reading, now: Reading) -> Group:
    """The table of what happened between two readings."""
    seconds = max(now.at - before.at, 1e-9)

    def rate(metric: str, label: str = "") -> float:
        return (now.get(metric, label) - before.get(metric, label)) / seconds

    head = Text.assemble(
        (f"{now.node}  ", "bold"),
        f"{now.get('qianwan_gateway_sessions'):,.0f} sessions, ",
        f"{now.get('qianwan_gateway_connections'):,.0f} connections, ",
        f"{now.get('qianwan_gateway_topics'):,.0f} topics   ",
        f"in {rate('qianwan_gateway_frames_in_total'):,.0f} frames/s, ",
        f"out {rate('qianwan_gateway_frames_out_total'):,.0f} frames/s, ",
        f"{rate('qianwan_gateway_bytes_out_total') / 1e6:,.2f} MB/s   ",
        f"longest turn {_longest_turn_s(before, now) * 1000:,.1f} ms",
    )
    table = Table()
    table.add_column("stage")
    for column in ("% of a core", "operations/s", "ns each"):
        table.add_column(column, justify="right")
    seconds_metric = "qianwan_gateway_stage_seconds_total"
    stages = [label for name, label in now.values if name == seconds_metric]
    for stage in stages:
        busy = rate(seconds_metric, stage)
        operations = rate("qianwan_gateway_stage_operations_total", stage)
        each = busy / operations * 1e9 if operations else 0.0
        table.add_row(stage, f"{100 * busy:.2f}", f"{operations:,.0f}", f"{each:,.0f}")
    return Group(head, table)


def _longest_turn_s(before: Reading, now: Reading) -> float:
    name = f"{TURNS}_bucket"
    turns = {
        float(bound): count - before.get(name, bound)
        for (metric, bound), count in now.values.items()
        if metric == name
    }
    return longest_turn_s(turns, now.get(LONGEST_TURN))


def run_top(url: str, interval: float, once: bool) -> int:
    """Show the table until interrupted. Returns the exit code."""
    console = Console()
    try:
        before = read(url)
        time.sleep(interval)
        now = read(url)
        if once:
            console.print(render(before, now))
            return 0
        with Live(render(before, now), console=console, auto_refresh=False) as live:
            while True:
                time.sleep(interval)
                before, now = now, read(url)
                live.update(render(before, now), refresh=True)
    except KeyboardInterrupt:
        return 0
    except (OSError, ValueError) as error:
        console.print(f"[red]cannot read {url}/metrics: {error}[/]")
        return 1
