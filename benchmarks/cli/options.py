"""Options and output that the commands of the benchmarks share."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from benchmarks.figures import SUITES, Figure, write_json
from benchmarks.loadgen.fleet import FleetError
from benchmarks.scenarios.context import Context
from benchmarks.servers import ServerError
from control.process.parent import tidy_up_on_signals

app = typer.Typer(
    help="Benchmarks: each starts the servers it needs, prints a table and stops them again.",
    no_args_is_help=True,
)


@app.callback()
def prepared() -> None:
    tidy_up_on_signals()


console = Console()


Json = Annotated[Path | None, typer.Option("--json", help="Write the figure to this file as JSON")]


Profile = Annotated[
    bool, typer.Option("--profile", help="Show where the loops of the server spent their time")
]


Seconds = Annotated[float, typer.Option(help="Length of the measured window in seconds", min=0.5)]


Suite = Annotated[str, typer.Option(help=f"Cipher suite: {', '.join(SUITES)}")]


Transport = Annotated[str, typer.Option(help="tcp, or ws: the same bytes inside WebSocket")]


Gateways = Annotated[
    int, typer.Option(help="Gateway processes; 0: as many as the limit of open files asks for")
]


Loops = Annotated[int, typer.Option(help="Loop threads of each gateway; 0: one per core")]


Generators = Annotated[
    int, typer.Option(help="Generator processes; 0: one per core, more for many connections")
]


Runs = Annotated[int, typer.Option(help="Measured runs; the median is reported", min=1)]


Size = Annotated[
    int, typer.Option(help="Characters of text in each message as the application reads it", min=32)
]


Rate = Annotated[
    str, typer.Option(help="Messages a second that are sent, or `auto`: search the highest that passes")
]


def rate_of(text: str) -> float:
    if text == "auto":
        return 0.0
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if value <= 0:
        raise typer.BadParameter("a rate is a positive number of messages a second, or `auto`")
    return value


def check_suite(name: str) -> str:
    if name not in SUITES:
        raise typer.BadParameter(f"suite is one of {', '.join(SUITES)}")
    return name


def check_transport(name: str) -> str:
    if name not in ("tcp", "ws"):
        raise typer.BadParameter("transport is tcp or ws")
    return name


def words() -> list[str]:
    """The words after `bench` of this command line."""
    return sys.argv[sys.argv.index("bench") + 1 :] if "bench" in sys.argv else sys.argv[1:]


def run(produce: Callable[[Context], Figure], json_file: Path | None, profile: bool) -> Figure:
    """Produce a figure, print it, write it; what went wrong is one line and exit code 3."""
    from benchmarks.table import print_figure, print_stages

    context = Context(words())
    try:
        item = produce(context)
    except (FleetError, ServerError) as error:
        context.done()
        console.print(f"bench: {error}", style="red", highlight=False, markup=False)
        raise typer.Exit(3) from None
    finally:
        context.done()
    print_figure(console, item)
    if profile:
        print_stages(console, item)
    if json_file is not None:
        write_json(json_file, item)
    return item


def numbers(text: str) -> list[float]:
    """A comma-separated list of positive numbers."""
    try:
        values = [float(word) for word in text.split(",") if word.strip()]
    except ValueError:
        values = [-1.0]
    if any(value <= 0 for value in values):
        raise typer.BadParameter("a comma-separated list of positive numbers")
    return values
