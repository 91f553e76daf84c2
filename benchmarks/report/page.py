"""The document: plots where the figures for them are there, then every figure with its command line."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Sequence
from html import escape
from pathlib import Path

from benchmarks.figures import Figure
from benchmarks.report.plots import Axis, Series, bars, lines, short

KEYS = ("scenario", "command", "connections", "throughput_per_s", "latency_ms", "server", "machine", "commit")

STYLE = """
:root { color-scheme: light dark; --line: #8884; --faint: #8888; }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 1240px; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.6rem; } h2 { font-size: 1.15rem; margin-top: 2.2rem; }
svg { width: 100%; height: auto; } .grid { stroke: var(--line); } .tick, .label { fill: currentColor; font-
size: 12px; } .plots { display: grid; grid-template-columns: repeat(auto-fit, minmax(440px, 1fr)); gap:
1.5rem; } figure { margin: 0; } figcaption { font-weight: 600; margin-bottom: .3rem; } .legend { display:
flex; flex-wrap: wrap; gap: .3rem 1rem; font-size: 13px; } .legend i { display: inline-block; width: .8em;
height: .8em; margin-right: .4em; border-radius: 2px; } .wide { overflow-x: auto; }
table { border-collapse: collapse; width: 100%;
font-size: 13px; } td, th { padding: .3rem .5rem; text- align: right; } th { border-bottom: 2px solid
var(--line); } td { border-bottom: 1px solid var(--line); } td:first-child, th:first-child, td.command {
text-align: left; } code { font-size: 12px; } tr.command td { border-bottom: 1px solid var(--line); color:
var(--faint); padding-top: 0; } tr.figure td { border-bottom: 0; } .warn { color: #b45309; }
"""


def read_figures(paths: Sequence[Path]) -> list[Figure]:
    """All figures of the files and folders, in order of their names. Raises ValueError for a file that is
    none.
    """
    files: list[Path] = []
    for path in paths:
        files += sorted(path.glob("*.json")) if path.is_dir() else [path]
    figures = []
    for file in files:
        item = json.loads(file.read_text())
        if not isinstance(item, dict) or any(key not in item for key in KEYS):
            raise ValueError(f"{file} is no figure of `qianwan bench`")
        figures.append(item)
    return figures


def write_page(out: Path, figures: Sequence[Figure]) -> None:
    out.write_text(page(figures))


def page(figures: Sequence[Figure]) -> str:
    """The whole document."""
    plots = [plot for plot in (draw(figures) for draw in PLOTS) if plot]
    machines = {json.dumps(item["machine"], sort_keys=True): item["machine"] for item in figures}
    where = "; ".join(
        f"{m.get('cpu', '?')}, {m.get('cores', '?')} cores, {short(float(m.get('memory_bytes', 0)))}B, "
        f"Linux {m.get('kernel', '?')}"
        for m in {f"{m.get('cpu')}{m.get('cores')}{m.get('kernel')}": m for m in machines.values()}.values()
    )
    commits = ", ".join(sorted({str(item["commit"]) for item in figures}))
    return (
        '<!doctype html><html lang="en"><meta charset="utf-8"><title>Qianwan benchmarks</title>'
        f"<style>{STYLE}</style><h1>Qianwan benchmarks</h1><p>{escape(where)}; commit {escape(commits)}. "
        "Server and load generator share the machine. Latency runs from the intended send time.</p>"
        f'<div class="plots">{"".join(plots)}</div><h2>Figures</h2>{_table(figures)}</html>\n'
    )


def _plot(title: str, drawing: str) -> str:
    return f"<figure><figcaption>{escape(title)}</figcaption>{drawing}</figure>"


def _rooms(figures: Sequence[Figure]) -> list[Figure]:
    return [item for item in figures if item["scenario"] in ("fanout", "sweep", "compare")]


def throughput_over_k(figures: Sequence[Figure]) -> str:
    groups: dict[tuple[int, str], list[tuple[float, float]]] = defaultdict(list)
    for item in _rooms(figures):
        if item["k_mean"] > 0:
            groups[item["size"], item["suite"]].append((item["k_mean"], item["throughput_per_s"]))
    if not groups:
        return ""
    series = [Series(f"{size} characters, {suite}", groups[size, suite]) for size, suite in sorted(groups)]
    drawing = lines(series, Axis("messages per flush (K)", log=True), Axis("deliveries/s"))
    return _plot("Throughput over K", drawing)


def throughput_over_size(figures: Sequence[Figure]) -> str:
    best: dict[str, dict[int, float]] = defaultdict(dict)
    for item in _rooms(figures):
        if item.get("passed", True):
            sizes = best[f"{item.get('members', item['connections']):,} members, {item['suite']}"]
            sizes[item["size"]] = max(sizes.get(item["size"], 0.0), item["throughput_per_s"])
    series = [Series(name, list(sizes.items())) for name, sizes in sorted(best.items())]
    if not any(len(one.points) > 1 for one in series):
        return ""
    return _plot("Throughput over size", lines(series, Axis("characters", log=True), Axis("deliveries/s")))


def latency(figures: Sequence[Figure]) -> str:
    shown = [
        item
        for item in figures
        if item["latency_ms"]["max"] > 0 and item["scenario"] not in ("sweep", "idle")
    ][:8]
    if not shown:
        return ""
    groups = [f"{item['scenario']}\n{short(item['throughput_per_s'])}/s" for item in shown]
    series = [
        (name, [item["latency_ms"][key] for item in shown])
        for name, key in (("p50", "p50"), ("p99", "p99"), ("p99.9", "p999"), ("max", "max"))
    ]
    return _plot("Latency percentiles", bars(groups, series, Axis("milliseconds", log=True)))


def memory_over_connections(figures: Sequence[Figure]) -> str:
    idle = [item for item in figures if item["scenario"] == "idle"]
    if not idle:
        return ""
    series = [
        Series("everything", [(item["connections"], item["memory_bytes"] / 1e6) for item in idle]),
        Series(
            "server processes", [(item["connections"], item["server"]["rss_bytes"] / 1e6) for item in idle]
        ),
        Series("generator", [(item["connections"], item["generator_rss_bytes"] / 1e6) for item in idle]),
    ]
    return _plot("Memory over connections", lines(series, Axis("connections"), Axis("megabytes")))


def comparison(figures: Sequence[Figure]) -> str:
    found = [item for item in figures if item.get("peers")]
    if not found:
        return ""
    names = ["qianwan", *sorted({name for item in found for name in item["peers"]})]
    groups = [f"{item.get('members', item['connections']):,} members" for item in found]
    series = [
        (name, [_of(item, name)["throughput_per_s"] if _of(item, name) else 0.0 for item in found])
        for name in names
    ]
    return _plot("Side by side with peers", bars(groups, series, Axis("deliveries/s")))


def _of(item: Figure, name: str) -> Figure:
    found: Figure = item if name == "qianwan" else item["peers"].get(name, {})
    return found


PLOTS = (throughput_over_k, throughput_over_size, latency, memory_over_connections, comparison)


def _table(figures: Sequence[Figure]) -> str:
    head = "".join(
        f"<th>{name}</th>"
        for name in (
            "scenario",
            "connections",
            "size",
            "suite",
            "throughput/s",
            "K",
            "p50 ms",
            "p99 ms",
            "p99.9 ms",
            "max ms",
            "lost",
            "reordered",
            "duplicated",
            "server CPU s",
            "server MB",
            "B/connection",
        )
    )
    rows = []
    for item in figures:
        rows.append(_row(item))
        rows += [_row({**other, "command": ""}) for other in item.get("peers", {}).values()]
    return f'<div class="wide"><table><tr>{head}</tr>{"".join(rows)}</table></div>'


def _row(item: Figure) -> str:
    ms, server = item["latency_ms"], item["server"]
    cells = [
        item["scenario"],
        f"{item['connections']:,}",
        item["size"],
        item["suite"],
        f"{item['throughput_per_s']:,.0f}",
        f"{item['k_mean']:.1f}",
        *(f"{ms[key]:.1f}" for key in ("p50", "p99", "p999", "max")),
        f"{item['lost']:,}",
        f"{item['reordered']:,}",
        f"{item['duplicated']:,}",
        f"{server['cpu_s']:.1f}",
        f"{server['rss_bytes'] / 1e6:,.0f}",
        f"{server['user_bytes_per_connection']:,.0f}",
    ]
    warning = "; ".join(item.get("generator", {}).get("reasons", []))
    mark = (
        f' <span class="warn">generator limited: {escape(warning)}</span>'
        if item["generator_limited"]
        else ""
    )
    line = f"<code>{escape(item['command'])}</code>{mark}"
    command = (
        f'<tr class="command"><td class="command" colspan="{len(cells)}">{line}</td></tr>'
        if item["command"]
        else ""
    )
    return f'<tr class="figure">{"".join(f"<td>{escape(str(cell))}</td>" for cell in cells)}</tr>{command}'
