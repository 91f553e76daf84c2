"""`qianwan bench weaknet`: what gets through on weak networks, and what that costs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated

import typer
from rich.console import Console

from benchmarks.cli.options import Json, app, console, words
from benchmarks.figures import Figure, write_json
from benchmarks.scenarios.context import Context
from benchmarks.servers import ServerError

SHORT_S = 10.0


@app.command()
def weaknet(
    profile: Annotated[str, typer.Option(help="Profiles, comma-separated: P0 to P12, P6b")] = "P3",
    workload: Annotated[
        str, typer.Option(help="W0 cost in bytes, W1 chat, W2 room, W3 push, W4 returns; comma-separated")
    ] = "W1",
    system: Annotated[str, typer.Option(help="Systems in turn, comma-separated, or `all`")] = "qianwan",
    everything: Annotated[bool, typer.Option("--all", help="Every profile with its workloads")] = False,
    short: Annotated[bool, typer.Option("--short", help=f"Loads of {SHORT_S:g} s, one seed")] = False,
    seconds: Annotated[float, typer.Option(help="Length of each load in seconds", min=2)] = 60.0,
    seeds: Annotated[int, typer.Option(help="Runs of each with seeds of their own; the median", min=1)] = 1,
    seed: Annotated[int, typer.Option(help="The first seed; 0: the profile's", min=0)] = 0,
    phones: Annotated[int, typer.Option(help="Phones; 0: as usual for the workload", min=0)] = 0,
    settle: Annotated[float, typer.Option(help="Seconds given to what is under way at the end")] = 60.0,
    json_file: Json = None,
) -> None:
    """Phones behind emulated bad links (as root): delivery, latency, returns, detection, bytes. Exit code 1
    when a message was lost or doubled that must not be.
    """
    from benchmarks.weaknet.namespaces import NetworkRefused
    from benchmarks.weaknet.profiles import load
    from benchmarks.weaknet.run import MATRIX, WORKLOADS, WeakOptions
    from benchmarks.weaknet.suite import SYSTEMS, Plan, failures, figure_of, run_plan

    profiles = load()
    keys = _some(profile, profiles, "--profile")
    works = _some(workload, WORKLOADS, "--workload")
    names = list(SYSTEMS) if system == "all" else _some(system, SYSTEMS, "--system")
    runs = [(key, work) for key, some in MATRIX.items() for work in some] if everything else []
    for name in list(names):
        if reason := SYSTEMS[name].missing():
            console.print(f"without {name}: {reason}", highlight=False)
            names.remove(name)
    plan = Plan(
        runs or [(key, work) for key in keys for work in works],
        names,
        1 if short else seeds,
        WeakOptions(phones, SHORT_S if short else seconds, seed, settle),
    )
    context = Context(words())
    try:
        rows = run_plan(plan, profiles, context.say)
    except (NetworkRefused, ServerError) as error:
        context.done()
        console.print(f"bench: {error}", style="red", highlight=False, markup=False)
        raise typer.Exit(3) from None
    finally:
        context.done()
    show(rows)
    if json_file is not None:
        write_json(json_file, figure_of(context.command, rows))
    if bad := failures(rows):
        console.print("\n".join(bad), style="red", highlight=False, markup=False)
        raise typer.Exit(1)


def _some(text: str, known: Mapping[str, object], option: str) -> list[str]:
    chosen = [word.strip() for word in text.split(",") if word.strip()]
    unknown = [word for word in chosen if word not in known]
    if not chosen or unknown:
        raise typer.BadParameter(f"{', '.join(unknown)}: there are {', '.join(known)}", param_hint=option)
    return chosen


def show(rows: Sequence[Figure]) -> None:
    """A line for each row; costs below."""
    from rich.table import Table

    table = Table(title="Weak networks (milliseconds: p50, p99)", title_justify="left")
    for name in ("profile", "workload", "system"):
        table.add_column(name)
    for name in ("delivered", "lost", "doubled", "latency", "first after a drop", "resumed", "found dead"):
        table.add_column(name, justify="right")
    for row in rows:
        table.add_row(
            f"{row['profile']} {row['network']}",
            row["workload"],
            row["system"],
            f"{row['delivered']:,} of {row['sent']:,}",
            f"{row['lost']:,}",
            f"{row['doubled']:,}",
            _span(row["latency_ms"]),
            _span(row["first_ms"]),
            f"{row['resumed']} of {row['returns']}" if row["returns"] else "",
            _span(row["client_noticed_ms"]),
        )
    Console(width=max(console.width, 150)).print(table)
    for row in rows:
        for name, cost in row.get("cost", {}).items():
            console.print(
                f"{row['system']}: {name}: {cost['bytes']:,.0f} bytes in {cost['packets']:,.1f} packets",
                highlight=False,
            )


def _span(ms: Mapping[str, float]) -> str:
    return f"{ms['p50']:,.0f}, {ms['p99']:,.0f}" if ms["max"] else ""
