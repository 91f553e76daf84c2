"""`qianwan bench`: one command per figure. Every figure is a table on the terminal and, with --json, a
file.
"""

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

app = typer.Typer(
    help="Benchmarks: each starts the servers it needs, prints a table and stops them again.",
    no_args_is_help=True,
)
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


@app.command()
def idle(
    connections: Annotated[int, typer.Option(help="Clients to connect", min=1)] = 10_000,
    hold: Annotated[float, typer.Option(help="Seconds to hold them", min=1)] = 30.0,
    interval: Annotated[int, typer.Option(help="Heartbeat interval in seconds", min=5)] = 240,
    suite: Suite = "aegis128l",
    transport: Transport = "tcp",
    gateways: Gateways = 0,
    loops: Loops = 0,
    generators: Generators = 0,
    json_file: Json = None,
    profile: Profile = False,
) -> None:
    """Hold idle, heartbeating connections: memory of the server and of everything, longest pause, heartbeat
    CPU.
    """
    from benchmarks.scenarios.idle import IdleOptions, run_idle

    options = IdleOptions(
        connections=connections,
        hold_s=hold,
        interval_s=interval,
        suite=check_suite(suite),
        transport=check_transport(transport),
        gateways=gateways,
        loops=loops,
        generators=generators,
    )
    run(lambda context: run_idle(context, options), json_file, profile)


@app.command()
def fanout(
    members: Annotated[int, typer.Option(help="Members of the chatroom", min=1)] = 5000,
    size: Size = 60,
    rate: Rate = "auto",
    seconds: Seconds = 10.0,
    suite: Suite = "aegis128l",
    transport: Transport = "tcp",
    publishers: Annotated[int, typer.Option(help="Clients that send", min=1)] = 4,
    slow: Annotated[int, typer.Option(help="Further members who stop reading during the load", min=0)] = 0,
    p99: Annotated[float, typer.Option(help="Bound of the p99 latency in milliseconds")] = 500.0,
    k: Annotated[int, typer.Option(help="Most messages in one flush; 0: as the server decides")] = 0,
    hold: Annotated[float, typer.Option(help="Publishers write what is due every so many ms")] = 0.0,
    gateways: Gateways = 0,
    loops: Loops = 0,
    generators: Generators = 0,
    runs: Runs = 1,
    json_file: Json = None,
    profile: Profile = False,
) -> None:
    """Messages through the im service into one chatroom, delivered to every member."""
    from benchmarks.scenarios.fanout import FanoutOptions, run_fanout

    options = FanoutOptions(
        members=members,
        size=size,
        rate=rate_of(rate),
        seconds=seconds,
        suite=check_suite(suite),
        transport=check_transport(transport),
        publishers=publishers,
        slow=slow,
        p99_ms=p99,
        k=k,
        hold_ms=hold,
        gateways=gateways,
        loops=loops,
        generators=generators,
        runs=runs,
    )
    run(lambda context: run_fanout(context, options), json_file, profile)


@app.command()
def relay(
    core: Annotated[
        bool, typer.Option("--core", help="Topic to topic inside the core, without the im service")
    ] = False,
    connections: Annotated[
        int, typer.Option(help="Clients; half of them send to the other half", min=2)
    ] = 1000,
    size: Size = 60,
    rate: Rate = "auto",
    seconds: Seconds = 10.0,
    suite: Suite = "aegis128l",
    transport: Transport = "tcp",
    p99: Annotated[float, typer.Option(help="Bound of the p99 latency in milliseconds")] = 250.0,
    gateways: Gateways = 0,
    loops: Loops = 0,
    generators: Generators = 0,
    runs: Runs = 1,
    json_file: Json = None,
    profile: Profile = False,
) -> None:
    """One client to one other, online only: through the im service with its checks, or inside the core."""
    from benchmarks.scenarios.pairs import PairOptions, run_pairs

    options = PairOptions(
        kind="relay-core" if core else "relay",
        connections=connections,
        size=size,
        rate=rate_of(rate),
        seconds=seconds,
        suite=check_suite(suite),
        transport=check_transport(transport),
        p99_ms=p99,
        gateways=gateways,
        loops=loops,
        generators=generators,
        runs=runs,
    )
    run(lambda context: run_pairs(context, options), json_file, profile)


@app.command()
def send(
    connections: Annotated[
        int, typer.Option(help="Clients; half of them send to the other half", min=2)
    ] = 1000,
    size: Size = 60,
    rate: Rate = "auto",
    seconds: Seconds = 10.0,
    suite: Suite = "aegis128l",
    transport: Transport = "tcp",
    p99: Annotated[float, typer.Option(help="Bound of the p99 latency in milliseconds")] = 250.0,
    gateways: Gateways = 0,
    loops: Loops = 0,
    generators: Generators = 0,
    runs: Runs = 1,
    json_file: Json = None,
    profile: Profile = False,
) -> None:
    """Stored single-chat messages: committed, acknowledged, delivered; acknowledgements at half the rate
    too.
    """
    from benchmarks.scenarios.pairs import PairOptions, run_pairs

    options = PairOptions(
        kind="send",
        connections=connections,
        size=size,
        rate=rate_of(rate),
        seconds=seconds,
        suite=check_suite(suite),
        transport=check_transport(transport),
        p99_ms=p99,
        gateways=gateways,
        loops=loops,
        generators=generators,
        runs=runs,
    )
    run(lambda context: run_pairs(context, options), json_file, profile)


@app.command()
def handshake(
    window: Annotated[int, typer.Option(help="Connections under way at a time", min=1)] = 64,
    seconds: Seconds = 10.0,
    suite: Suite = "aegis128l",
    transport: Transport = "tcp",
    login: Annotated[bool, typer.Option("--login", help="With the login: token check and AUTH_OK")] = False,
    loops: Annotated[int, typer.Option(help="Loop threads of the gateway")] = 1,
    generators: Annotated[int, typer.Option(help="Generator processes")] = 1,
    json_file: Json = None,
    profile: Profile = False,
) -> None:
    """Full handshakes a second, and per server core."""
    from benchmarks.scenarios.handshake import HandshakeOptions, run_handshake

    options = HandshakeOptions(
        window=window,
        seconds=seconds,
        suite=check_suite(suite),
        transport=check_transport(transport),
        login=login,
        loops=loops,
        generators=generators,
    )
    run(lambda context: run_handshake(context, options), json_file, profile)


def add_more() -> None:
    """Commands that make several figures."""
    from benchmarks import cli_more

    cli_more.add_to(app)


add_more()
