"""Commands of `qianwan bench` that measure no load: the routing table, and a cluster on paper."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, cast

import typer

from benchmarks.cli.options import Json, app, console, words
from benchmarks.figures import write_json
from benchmarks.scenarios.context import Context


@app.command()
def routes(
    topics: Annotated[int, typer.Option(help="Topics in the table", min=1000)] = 10_000_000,
    gateways: Annotated[int, typer.Option(help="Gateways that announce them", min=20, max=65535)] = 100,
    shared: Annotated[
        float, typer.Option(help="Share at 2 to 20 gateways, in the second round", min=0.001, max=1)
    ] = 0.1,
    json_file: Json = None,
) -> None:
    """The routing table of an im process: bytes a topic, announcements and look-ups a second, pauses."""
    from benchmarks.scenarios.routes import RoutesOptions, run_routes

    context = Context(words())
    try:
        found = run_routes(RoutesOptions(topics, gateways, shared), context.command, context.say)
    finally:
        context.done()
    _print(
        "routes",
        {f"{row['shared']:.0%} shared": row for row in cast(list[dict[str, object]], found["rounds"])},
    )
    if json_file is not None:
        write_json(json_file, found)


@app.command()
def scale(
    users: Annotated[int, typer.Option(help="Users online", min=1000)] = 10_000_000,
    gateways: Annotated[int, typer.Option(help="Gateway processes", min=1, max=65535)] = 50,
    ims: Annotated[int, typer.Option(help="Im processes", min=1)] = 10,
    messages: Annotated[float, typer.Option(help="Messages of a user in an hour", min=0.001)] = 12.0,
    group_size: Annotated[int, typer.Option(help="Members of a group", min=2)] = 50,
    sample: Annotated[int, typer.Option(help="Users that are simulated", min=1000)] = 50_000,
    json_file: Json = None,
) -> None:
    """A cluster on paper (docs/SCALE.md): messages, bytes and memory, by arithmetic and by a simulation."""
    from benchmarks.scenarios.scale import ScaleOptions, run_scale

    context = Context(words())
    options = ScaleOptions(
        users=users, gateways=gateways, ims=ims, messages_per_user_hour=messages, group_size=group_size,
        sample=sample,
    )  # fmt: skip
    try:
        found = run_scale(options, context.command, context.say)
    finally:
        context.done()
    columns = {name: cast(Mapping[str, object], found[name]) for name in ("arithmetic", "simulation")}
    _print(f"{users:,} users, {gateways} gateways, {ims} im processes", columns)
    if json_file is not None:
        write_json(json_file, found)


def _print(title: str, columns: Mapping[str, Mapping[str, object]]) -> None:
    from rich.table import Table

    table = Table(title=title, title_justify="left")
    table.add_column("")
    for name in columns:
        table.add_column(name, justify="right")
    for row in next(iter(columns.values())):
        table.add_row(row.replace("_", " "), *(_cell(column[row]) for column in columns.values()))
    console.print(table)


def _cell(value: object) -> str:
    if isinstance(value, dict):
        times = f"p99.9 {value['cpu_ms_p999']} ms, longest {value['cpu_ms_longest']} ms"
        return f"{value['jobs']:,} jobs, {times}, {value['cpu_s']} s in all"
    return f"{value:,}" if isinstance(value, int | float) else str(value)
