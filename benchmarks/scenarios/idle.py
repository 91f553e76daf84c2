"""Idle: so many clients connected and heartbeating; what they cost in memory and in CPU.

Gateways are processes of their own here, because only they are to hold nothing per connection outside the
core: `user_bytes_per_connection` is the growth of their resident memory since a few clients of each came and
went, because what the first login of a process touches for good is no cost of a connection. What a storm
leaves in its heap is in it: `user_bytes_by_kind` tells that from what the core maps, and part of it goes
after QUIET_S of control/process/heap.py, which a run should outlast.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from benchmarks.figures import Figure, ServerReport, figure
from benchmarks.loadgen.fleet import Fleet, Load, Shape
from benchmarks.machine import held_bytes, memory, resident_by_kind, resident_bytes
from benchmarks.scenarios.context import CONNECT_TIMEOUT_S, CONNECT_WINDOW, Context, stage, suite_number
from benchmarks.scenarios.needs import require
from benchmarks.scenarios.preparation import OPEN_CORE, OPEN_SERVICE
from benchmarks.servers import Sample, ServerPlan, gateways_for

PAUSE_BOUND_MS = 1000.0
WAVE = 100_000  # logins after which the im process is waited for: it also records each device in the store
WARM = 8  # clients of each gateway that log in and leave before anything is measured


@dataclass(frozen=True, slots=True)
class IdleOptions:
    connections: int = 10_000
    hold_s: float = 30.0
    interval_s: int = 240
    suite: str = "aegis128l"
    transport: str = "tcp"
    gateways: int = 0
    loops: int = 0
    generators: int = 0
    nap_us: int = 20_000  # few wake-ups, which the sender pays for (remote clients cause none); small bursts


def run_idle(context: Context, options: IdleOptions) -> Figure:
    """One figure. `memory_bytes` is what the machine has less than before the first process was started."""
    require(options.connections)
    plan = ServerPlan(
        gateways=options.gateways or gateways_for(options.connections),
        split=True,
        loops=options.loops,
        ping_interval_s=options.interval_s,
        core=OPEN_CORE,
        service=OPEN_SERVICE,
    )
    shape = Shape(
        gateways=[],
        members=options.connections,
        suite=suite_number(options.suite),
        websocket=options.transport == "ws",
        ping_s=options.interval_s,
        processes=options.generators,
        own_gateway=True,
    )
    before, held_before = memory("MemAvailable"), held_bytes()
    with stage(context, plan, shape) as (servers, fleet):
        context.say("warming up the gateways")
        with Fleet(
            replace(
                fleet.shape,
                members=WARM * plan.gateways,
                user_prefix="warm",
                processes=1,
                own_gateway=False,
            )
        ) as first:
            first.connect()
        servers.await_calm()
        empty, kinds = servers.sample(), resident_by_kind(servers.gateway_pids())
        seen = fleet.connect_in_waves(
            WAVE, servers.await_sessions, CONNECT_WINDOW, CONNECT_TIMEOUT_S, context.progress
        )
        servers.await_calm()
        logins = fleet.histograms()["login"]
        fleet.ask_all("forget_logins")
        edges: dict[bool, Sample] = {}

        def edge(opening: bool) -> None:
            edges[opening] = servers.sample(memory=not opening)

        load = Load(rate=0, seconds=options.hold_s, warm_up_s=3.0, drain_s=1.0, nap_us=options.nap_us)
        measured = fleet.measure(load, progress=context.progress, at_window=edge)
        report = ServerReport.between(
            edges[True],
            edges[False],
            empty_rss=empty.gateway_rss,
            connections=options.connections,
        )
        grown = resident_by_kind(servers.gateway_pids())
        by_kind = {kind: round((grown[kind] - kinds[kind]) / options.connections, 1) for kind in grown}
        generator_rss = resident_bytes(fleet.pids)
        taken, held = before - memory("MemAvailable"), held_bytes() - held_before
        if not measured.counters["pongs"]:
            context.note("no heartbeat fell into the window: hold longer than the interval")
        measured.throughput_per_s = measured.offered_per_s = measured.counters["pongs"] / options.hold_s
        return figure(
            "idle",
            context.command,
            connections=options.connections,
            size=0,
            suite=options.suite,
            transport=options.transport,
            measured=measured,
            server=report,
            bound_ms=PAUSE_BOUND_MS,
            latency=logins,
            hold_s=options.hold_s,
            user_bytes_by_kind=by_kind,
            interval_s=options.interval_s,
            gateways=plan.gateways,
            connected=seen["live"] - seen["closed"],
            still_connected=options.connections - measured.closed,
            pings=measured.counters["pings"],
            pongs=measured.counters["pongs"],
            heartbeat_core_share=round(report.cpu_s / report.seconds, 4),
            memory_bytes=taken,
            memory_bytes_per_connection=round(taken / options.connections, 1),
            memory_held_bytes=held,
            generator_rss_bytes=generator_rss,
        )
