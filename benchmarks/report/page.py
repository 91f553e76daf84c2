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
:root { color-scheme: light dark; --line: #8884; --faint: #888; }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 1240px; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.6rem; }
h2 { font-size: 1.15rem; margin-top: 2.2rem; }
figure { margin: 0 0 1.5rem; break-inside: avoid; }
figcaption { font-weight: 600; margin-bottom: .3rem; }
svg { width: 100%; height: auto; }
.plots { columns: 440px; column-gap: 1.5rem; }
.grid { stroke: var(--line); }
.tick, .label, .value { fill: currentColor; font-size: 12px; }
.value { font-size: 10px; }
.legend { display: flex; flex-wrap: wrap; gap: .3rem 1rem; font-size: 13px; }
.legend i { display: inline-block; width: .8em; height: .8em; margin-right: .4em; border-radius: 2px; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-size: 12.5px; }
td, th { padding: .3rem .35rem; text-align: right; vertical-align: bottom; }
th { border-bottom: 2px solid var(--line); }
td { border-bottom: 1px solid var(--line); }
td:first-child, th:first-child, td.command { text-align: left; }
tr.figure td { border-bottom: 0; }
tr.command td { color: var(--faint); padding-top: 0; }
code { font-size: 12px; overflow-wrap: anywhere; }
.warn { color: #b45309; }
@media (max-width: 1000px) { table { font-size: 10px; } td, th { padding: .25rem .15rem; } }
@media print { .wide { overflow: visible; } table { font-size: 8px; } }
"""


def read_figures(paths: Sequence[Path]) -> tuple[list[Figure], list[Path]]:
    """(figures, other files) of the files and folders, in order of their names. A folder may hold other JSON
    than figures; a file that is named and is none raises ValueError.
    """
    figures: list[Figure] = []
    others: list[Path] = []
    for path in paths:
        for file in sorted(path.glob("*.json")) if path.is_dir() else [path]:
            item = json.loads(file.read_text())
            if isinstance(item, dict) and all(key in item for key in KEYS):
                figures.append(item)
            elif path.is_dir():
                others.append(file)
            else:
                raise ValueError(f"{file} is no figure of `qianwan bench`")
    return figures, others


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
    groups: dict[tuple[int, int, str], list[tuple[float, float]]] = defaultdict(list)
    for item in _rooms(figures):
        if item["k_mean"] > 0:
            members = item.get("members") or item["connections"]
            groups[members, item["size"], item["suite"]].append((item["k_mean"], item["throughput_per_s"]))
    if not groups:
        return ""
    series = [
        Series(f"{key[0]:,} members, {key[1]} characters, {key[2]}", groups[key]) for key in sorted(groups)
    ]
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
        if item["latency_ms"]["max"] > 0 and item["scenario"] not in ("sweep", "idle", "weaknet")
    ]
    if not shown:
        return ""
    groups = [
        f"{item['scenario']}, {item['connections']:,} connections, {item['suite']}, "
        f"{short(item['throughput_per_s'])}/s"
        for item in shown
    ]
    series = [
        (name, [item["latency_ms"][key] for item in shown])
        for name, key in (("p50", "p50"), ("p99", "p99"), ("p99.9", "p999"), ("max", "max"))
    ]
    return _plot("Latency percentiles", bars(groups, series, Axis("milliseconds", log=True)))


def memory(figures: Sequence[Figure]) -> str:
    idle = [item for item in figures if item["scenario"] == "idle"]
    if not idle:
        return ""
    series = [
        ("everything", [float(item["memory_bytes"]) for item in idle]),
        ("server processes", [float(item["server"]["rss_bytes"]) for item in idle]),
        ("generator", [float(item["generator_rss_bytes"]) for item in idle]),
    ]
    groups = [f"{item['connections']:,} connections" for item in idle]
    return _plot("Memory of idle connections", bars(groups, series, Axis("bytes")))


def comparison(figures: Sequence[Figure]) -> str:
    found = [item for item in figures if item.get("peers")]
    if not found:
        return ""
    names = ["qianwan", *sorted({name for item in found for name in item["peers"]})]
    groups = [
        f"{item.get('members', item['connections']):,} members, {item['size']} characters" for item in found
    ]
    series = [
        (name, [_of(item, name)["throughput_per_s"] if _of(item, name) else 0.0 for item in found])
        for name in names
    ]
    return _plot("Side by side with peers", bars(groups, series, Axis("deliveries/s")))


def weak_networks(figures: Sequence[Figure]) -> str:
    """Where phones came back after a drop: until the first message was there."""
    rows = [row for item in figures for row in item.get("rows", ()) if item["scenario"] == "weaknet"]
    found = {
        (f"{row['profile']} {row['network']}, round trip {row['round_trip_ms']:,} ms", row["system"]): row
        for row in rows
        if row["first_ms"]["max"] > 0
    }
    if not found:
        return ""
    groups = list(dict.fromkeys(group for group, _ in found))
    series = [
        (name, [found[group, name]["first_ms"]["p50"] if (group, name) in found else 0.0 for group in groups])
        for name in dict.fromkeys(name for _, name in found)
    ]
    return _plot("First message after a drop, median", bars(groups, series, Axis("milliseconds")))


def _of(item: Figure, name: str) -> Figure:
    found: Figure = item if name == "qianwan" else item["peers"].get(name, {})
    return found


PLOTS = (throughput_over_k, throughput_over_size, comparison, memory, weak_networks, latency)


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
            "lost, swapped, doubled",
            "server CPU s",
            "server MB",
            "bytes each",
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
        f"{item['lost']:,}, {item['reordered']:,}, {item['duplicated']:,}",
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
