"""Commands of `qianwan bench` that make several figures or read them: sweep, compare, quick, report."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from benchmarks.cli.options import numbers
from benchmarks.figures import Figure, write_json
from benchmarks.loadgen.fleet import FleetError
from benchmarks.scenarios.context import Context
from benchmarks.servers import ServerError

console = Console()


def sweep(
    members: Annotated[int, typer.Option(help="Members of the chatroom", min=1)] = 5000,
    sizes: Annotated[str, typer.Option(help="Characters of text, comma-separated")] = "60,200,1000",
    rates: Annotated[
        str, typer.Option(help="Messages a second, comma-separated; empty: search the highest rate")
    ] = "",
    seconds: Annotated[float, typer.Option(help="Length of one step in seconds", min=0.5)] = 3.0,
    suite: Annotated[str, typer.Option(help="Cipher suite")] = "aegis128l",
    p99: Annotated[float, typer.Option(help="Bound of the p99 latency in milliseconds")] = 500.0,
    json_dir: Annotated[
        Path | None, typer.Option("--json-dir", help="Write every step to this folder")
    ] = None,
) -> None:
    """Throughput and latency over the rate and the size: raise the rate to the highest rate and past it."""
    from benchmarks.cli.options import check_suite, words
    from benchmarks.scenarios.fanout import FanoutOptions, run_sweep

    options = FanoutOptions(members=members, seconds=seconds, suite=check_suite(suite), p99_ms=p99)
    context = Context(words())
    try:
        figures = run_sweep(context, options, [int(size) for size in numbers(sizes)], numbers(rates))
    except (FleetError, ServerError) as error:
        raise _failed(context, error) from None
    finally:
        context.done()
    for i, item in enumerate(figures):
        console.print(
            f"size {item['size']:5}  {item['rate']:10,.1f} msg/s  {item['throughput_per_s']:13,.0f}/s  "
            f"K {item['k_mean']:6.1f}  p99 {item['latency_ms']['p99']:8.1f} ms  {item['failure'] or 'ok'}",
            highlight=False,
        )
        if json_dir is not None:
            write_json(json_dir / f"sweep-{item['size']}-{i:02}.json", item)


def compare(
    members: Annotated[str, typer.Option(help="Members of the chatroom, comma-separated")] = "5000,15000",
    peers: Annotated[str, typer.Option(help="Peers, comma-separated")] = "mosquitto,nats,uwebsockets",
    size: Annotated[int, typer.Option(help="Characters of text", min=32)] = 60,
    rate: Annotated[
        str, typer.Option(help="Messages a second for all, or `auto`: each one's highest")
    ] = "auto",
    seconds: Annotated[float, typer.Option(help="Length of the measured window", min=0.5)] = 5.0,
    suite: Annotated[
        str, typer.Option(help="Cipher suite of this server; peers are plaintext")
    ] = "aegis128l",
    p99: Annotated[float, typer.Option(help="Bound of the p99 latency in milliseconds")] = 500.0,
    json_file: Annotated[
        Path | None, typer.Option("--json", help="Write the figure (several: a number is added)")
    ] = None,
) -> None:
    """This server and peers side by side: same members, sizes and latency bound, each peer at its best
    batching.
    """
    from benchmarks.cli.options import check_suite, rate_of, words
    from benchmarks.peers import PEERS
    from benchmarks.peers.base import PeerError
    from benchmarks.scenarios.compare import run_compare
    from benchmarks.scenarios.fanout import FanoutOptions
    from benchmarks.table import print_comparison

    names = [name.strip() for name in peers.split(",") if name.strip()]
    if unknown := [name for name in names if name not in PEERS]:
        raise typer.BadParameter(f"no such peer: {', '.join(unknown)} (there are {', '.join(PEERS)})")
    counts = [int(count) for count in numbers(members)]
    context = Context(words())
    for count in counts:
        options = FanoutOptions(
            members=count,
            size=size,
            rate=rate_of(rate),
            seconds=seconds,
            suite=check_suite(suite),
            p99_ms=p99,
        )
        try:
            item = run_compare(context, options, names)
        except (FleetError, ServerError, PeerError) as error:
            raise _failed(context, error) from None
        finally:
            context.done()
        print_comparison(console, item)
        if json_file is not None:
            several = len(counts) > 1
            write_json(json_file.with_stem(f"{json_file.stem}-{count}") if several else json_file, item)


def quick(
    json_dir: Annotated[
        Path | None, typer.Option("--json-dir", help="Write the figures to this folder")
    ] = None,
) -> None:
    """A short set (about two minutes): handshakes, idle, fan-out, relay, stored messages."""
    from benchmarks.cli.options import words
    from benchmarks.scenarios.fanout import FanoutOptions, run_fanout
    from benchmarks.scenarios.handshake import HandshakeOptions, run_handshake
    from benchmarks.scenarios.idle import IdleOptions, run_idle
    from benchmarks.scenarios.pairs import PairOptions, run_pairs
    from benchmarks.table import print_figure

    pairs = PairOptions(seconds=5, warm_up_s=1)
    steps: dict[str, Callable[[Context], Figure]] = {
        "handshake": lambda c: run_handshake(c, HandshakeOptions(seconds=5)),
        "idle": lambda c: run_idle(c, IdleOptions(connections=5000, hold_s=10)),
        "fanout": lambda c: run_fanout(c, FanoutOptions(members=1000, seconds=5, warm_up_s=1)),
        "relay-core": lambda c: run_pairs(c, replace(pairs, kind="relay-core")),
        "relay": lambda c: run_pairs(c, replace(pairs, kind="relay")),
        "send": lambda c: run_pairs(c, pairs),
    }
    for name, step in steps.items():
        context = Context(words())
        try:
            item = step(context)
        except (FleetError, ServerError) as error:
            raise _failed(context, error) from None
        finally:
            context.done()
        print_figure(console, item)
        if json_dir is not None:
            write_json(json_dir / f"{name}.json", item)


def catchup(
    conversations: Annotated[int, typer.Option(help="Conversations", min=1)] = 500,
    each: Annotated[int, typer.Option(help="Messages a conversation that came meanwhile", min=1)] = 200,
    known: Annotated[int, typer.Option(help="Messages a conversation that the device has", min=0)] = 50,
    size: Annotated[int, typer.Option(help="Characters of text", min=1)] = 60,
    bound: Annotated[float, typer.Option(help="Seconds it may take")] = 3.0,
) -> None:
    """A device that was away: one SDK client with an old cursor, until it has everything it lacks."""
    from benchmarks.cli.options import words
    from benchmarks.scenarios.catchup import CatchupOptions, run_catchup

    context = Context(words())
    try:
        found = run_catchup(context, CatchupOptions(conversations, each, known, size, bound))
    except (ServerError, TimeoutError) as error:
        raise _failed(context, error) from None
    finally:
        context.done()
    console.print(
        f"{found.messages:,} messages in {found.conversations} conversations within {found.seconds:.2f} s "
        f"(bound {bound:g} s)\n"
        f"{conversations * known:,} known ones not read again; {found.doubled} came twice\n"
        f"{found.reads} reads of the store gave {found.rows:,} rows\n"
        f"{found.calls} frames from the client, {found.bytes / 1e6:.1f} MB to it; "
        f"CPU: server {found.server.cpu_s:.2f} s, client {found.client_cpu_s:.2f} s",
        highlight=False,
    )
    if found.seconds > bound or found.doubled or found.messages != conversations * each:
        raise typer.Exit(1)


def report(
    files: Annotated[list[Path], typer.Argument(help="JSON files, or folders of them")],
    out: Annotated[Path, typer.Option("--out", help="The page to write")] = Path("bench-report.html"),
) -> None:
    """One self-contained page with plots from JSON figures."""
    from benchmarks.report.page import read_figures, write_page

    try:
        figures, others = read_figures(files)
    except (OSError, ValueError) as error:
        console.print(f"bench: {error}", style="red", highlight=False, markup=False)
        raise typer.Exit(2) from None
    write_page(out, figures)
    left = f"; no figures: {', '.join(path.name for path in others)}" if others else ""
    console.print(f"{out}: {len(figures)} figures{left}", highlight=False)


def record(
    json_dir: Annotated[Path, typer.Option("--json-dir", help="Folder of the figures")] = Path(
        "benchmarks/results"
    ),
    only: Annotated[str, typer.Option(help="Names, comma-separated; empty: the whole set")] = "",
    table: Annotated[
        bool, typer.Option("--table", help="Measure nothing, print the table of the folder")
    ] = False,
) -> None:
    """Measure the figures of the README (an hour and a half) and print their table in Markdown."""
    import json

    from benchmarks.record import ROWS, markdown
    from benchmarks.record import record as measure

    names = [name.strip() for name in only.split(",") if name.strip()] or list(ROWS)
    if unknown := [name for name in names if name not in ROWS]:
        raise typer.BadParameter(f"no such figure: {', '.join(unknown)} (there are {', '.join(ROWS)})")
    failed = [] if table else measure(names, json_dir, lambda line: console.print(line, highlight=False))
    files = {name: json_dir / f"{name}.json" for name in ROWS}
    found = {name: json.loads(file.read_text()) for name, file in files.items() if file.exists()}
    typer.echo(markdown(found))
    if failed:
        console.print(f"failed: {', '.join(failed)}", style="red", highlight=False)
        raise typer.Exit(3)


def _failed(context: Context, error: Exception) -> typer.Exit:
    context.done()
    console.print(f"bench: {error}", style="red", highlight=False, markup=False)
    return typer.Exit(3)


def add_to(app: typer.Typer) -> None:
    for command in (sweep, compare, quick, catchup, record, report):
        app.command()(command)
