"""`qianwan bench`: one command per figure. Every figure is a table on the terminal and, with --json, a
file.
"""

from __future__ import annotations

from typing import Annotated

import typer

from benchmarks.cli.options import (
    Gateways,
    Generators,
    Json,
    Loops,
    Profile,
    Rate,
    Runs,
    Seconds,
    Size,
    Suite,
    Transport,
    app,
    check_suite,
    check_transport,
    rate_of,
    run,
)


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
    zstd: Annotated[bool, typer.Option("--zstd", help="Members accept compressed bodies")] = False,
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
        zstd=zstd,
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


@app.command()
def resume(
    way: Annotated[
        str,
        typer.Option(help="resume, lite (without the node's key), ticket (a login by it) or token"),
    ] = "resume",
    clients: Annotated[int, typer.Option(help="Sessions that come back in turn", min=1)] = 256,
    seconds: Seconds = 10.0,
    suite: Suite = "aegis128l",
    generators: Annotated[int, typer.Option(help="Generator processes", min=1)] = 1,
    together: Annotated[int, typer.Option(help="Of each generator at a time", min=1)] = 16,
    json_file: Json = None,
    profile: Profile = False,
) -> None:
    """Sessions taken up again a second, and per server core; beside them logins by ticket and by token."""
    from benchmarks.scenarios.resume import WAYS, ResumeOptions, run_resume

    if way not in WAYS:
        raise typer.BadParameter(f"one of {', '.join(WAYS)}", param_hint="--way")
    options = ResumeOptions(
        way=way,
        clients=clients,
        seconds=seconds,
        suite=check_suite(suite),
        generators=generators,
        together=together,
    )
    run(lambda context: run_resume(context, options), json_file, profile)


@app.command()
def flood(
    flights: Annotated[int, typer.Option(help="First flights of strangers", min=8)] = 100_000,
    parked: Annotated[
        int, typer.Option(help="Sessions that wait for their clients meanwhile", min=16)
    ] = 1_000,
    live: Annotated[int, typer.Option(help="Clients that are in and ping", min=1)] = 50,
    suite: Suite = "aegis128l",
    generators: Annotated[int, typer.Option(help="Processes of the flood", min=1)] = 2,
    json_file: Json = None,
    profile: Profile = False,
) -> None:
    """Resumes that were overheard, replayed and forged: none is taken, who waited comes back."""
    from benchmarks.scenarios.flood import FloodOptions, run_flood

    options = FloodOptions(
        flights=flights, parked=parked, live=live, suite=check_suite(suite), generators=generators
    )
    run(lambda context: run_flood(context, options), json_file, profile)


@app.command()
def storm(
    clients: Annotated[int, typer.Option(help="Half of them on each of two gateways", min=2)] = 20_000,
    admitted_per_s: Annotated[float, typer.Option(help="Newcomers that a gateway lets in a second")] = 400.0,
    within_s: Annotated[float, typer.Option(help="Until all must be back")] = 60.0,
    suite: Suite = "aegis128l",
    loops: Annotated[int, typer.Option(help="Loop threads of each gateway")] = 1,
    json_file: Json = None,
    profile: Profile = False,
) -> None:
    """One of two gateways is killed; all of its clients come to the other at once, at the admitted rate."""
    from benchmarks.scenarios.storm import StormOptions, run_storm

    options = StormOptions(
        clients=clients,
        admitted_per_s=admitted_per_s,
        within_s=within_s,
        suite=check_suite(suite),
        loops=loops,
    )
    run(lambda context: run_storm(context, options), json_file, profile)
