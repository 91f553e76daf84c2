"""Figures as tables on the terminal."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table

from benchmarks.figures import Figure

OTHERS_CORES = 0.15  # above this a figure is disturbed


def print_figure(console: Console, item: Figure) -> None:
    """The figure, its warnings, and the command that repeats it."""
    table = Table(title=str(item["scenario"]), title_justify="left", show_header=False, box=None)
    for name, value in rows(item):
        table.add_row(name, value)
    console.print(table)
    for reason in item["generator"]["reasons"]:
        console.print(f"warning: the generator is the limit: {reason}", style="yellow")
    others = item["generator"]["other_programs_cores"]
    if others > OTHERS_CORES:
        console.print(f"warning: other programs used {others:.2f} cores meanwhile", style="yellow")
    if item.get("failure"):
        console.print(f"outside its bounds: {item['failure']}", style="yellow")


def rows(item: Figure) -> list[tuple[str, str]]:
    """Name and value of what a reader looks for first."""
    latency, server, generator = item["latency_ms"], item["server"], item["generator"]
    found = [
        ("connections", f"{item['connections']:,}"),
        ("suite, size", f"{item['suite']}, {item['size']} characters")
        if item["size"]
        else ("suite", str(item["suite"])),
        ("offered", f"{item['offered_per_s']:,.0f} /s"),
        ("throughput", f"{item['throughput_per_s']:,.0f} /s"),
        *([("K (mean)", f"{item['k_mean']:.1f}")] if item["k_mean"] else []),
        *(
            [("bytes on the wire, each", f"{item['wire_bytes_each']:.1f}")]
            if item.get("wire_bytes_each")
            else []
        ),
        (
            "latency",
            (
                f"p50 {latency['p50']:.1f}  p99 {latency['p99']:.1f}  p99.9 {latency['p999']:.1f}  max "
                f"{latency['max']:.1f} ms"
            ),
        ),
        ("lost, reordered, duplicated", f"{item['lost']:,}, {item['reordered']:,}, {item['duplicated']:,}"),
        (
            "server",
            (
                f"{server['processes']} process(es), {server['cpu_s']:.2f} CPU s in {item['seconds']:.0f} s, "
                f"{server['rss_bytes'] / 1e6:,.0f} MB"
            ),
        ),
        *(
            [("user memory per connection", f"{server['user_bytes_per_connection']:,.0f} B")]
            if server["user_bytes_per_connection"]
            else []
        ),
        ("longest pause of a loop", f"{server['max_pause_ms']:.1f} ms"),
        (
            "generator",
            (
                f"{generator['processes']} process(es), {generator['cpu_s']:.2f} CPU s, machine "
                f"{generator['machine_busy']:.0%} busy"
            ),
        ),
    ]
    if "ack_latency_ms" in item:
        ack = item["ack_latency_ms"]
        found.insert(
            6,
            ("acknowledged", f"{item['acked_per_s']:,.0f} /s  p50 {ack['p50']:.1f}  p99 {ack['p99']:.1f} ms"),
        )
    if "half_rate" in item:
        half = item["half_rate"]
        found.insert(
            7,
            (
                "at half that rate",
                f"ack p50 {half['ack_latency_ms']['p50']:.1f}  p99 {half['ack_latency_ms']['p99']:.1f} ms",
            ),
        )
    if "per_server_core_per_s" in item:
        found.insert(4, ("per server core", f"{item['per_server_core_per_s']:,.0f} /s"))
    if "slow_readers" in item:
        slow = item["slow_readers"]
        found.append(
            (
                "slow readers",
                (
                    f"{slow['count']:,}, at most {slow['bytes_per_reader_max']:,} of "
                    f"{slow['limit_bytes']:,} B wait for each; {slow['dropped']:,} events dropped, "
                    f"{slow['closed']:,} closed"
                ),
            )
        )
    if "memory_bytes" in item:
        found.append(
            (
                "memory of everything",
                (
                    f"{item['memory_bytes'] / 1e9:.2f} GB, "
                    f"{item['memory_bytes_per_connection']:,.0f} B per connection"
                ),
            )
        )
        found.append(
            (
                "heartbeats",
                (
                    f"{item['pings']:,} pings, {item['pongs']:,} pongs, "
                    f"{item['heartbeat_core_share']:.1%} of a core"
                ),
            )
        )
    return found


def print_stages(console: Console, item: Figure) -> None:
    """Where the loops of the server spent their time."""
    stages = item["server"]["stages"]
    if not stages:
        console.print("the server reported no stages")
        return
    total = sum(stage.get("ms", 0.0) for stage in stages.values()) or 1.0
    delivered = max(1.0, item["throughput_per_s"] * item["seconds"])
    table = Table(title="stages of the loops", title_justify="left", box=None)
    for head in ("stage", "ms", "share", "operations", "ns each", "ns per delivery"):
        table.add_column(head, justify="left" if head == "stage" else "right")
    for name, stage in sorted(stages.items(), key=lambda pair: -pair[1].get("ms", 0.0)):
        ms, count = stage.get("ms", 0.0), stage.get("count", 0.0)
        table.add_row(
            name,
            f"{ms:,.1f}",
            f"{ms / total:.1%}",
            f"{count:,.0f}",
            f"{ms * 1e6 / count:,.0f}" if count else "-",
            f"{ms * 1e6 / delivered:,.1f}",
        )
    console.print(table)


def print_comparison(console: Console, item: Figure) -> None:
    """This server and the peers, side by side."""
    table = Table(
        title=f"{item['connections']:,} connections, {item['size']} characters",
        title_justify="left",
        box=None,
    )
    for head in (
        "system",
        "deliveries/s",
        "ratio",
        "K",
        "p50 ms",
        "p99 ms",
        "server CPU s",
        "server MB",
        "encrypted",
    ):
        table.add_column(head, justify="left" if head == "system" else "right")
    for name, other in {"qianwan": item, **item["peers"]}.items():
        latency, server = other["latency_ms"], other["server"]
        ratio = item["ratios"].get(name)
        table.add_row(
            name,
            f"{other['throughput_per_s']:,.0f}",
            f"{ratio:.2f}x" if ratio else "",
            f"{other['k_mean']:.1f}",
            f"{latency['p50']:.1f}",
            f"{latency['p99']:.1f}",
            f"{server['cpu_s']:.2f}",
            f"{server['rss_bytes'] / 1e6:,.0f}",
            other["suite"] if other["suite"] != "none" else "no",
        )
    console.print(table)
