"""Fan-out: messages of ordinary clients through the im service into one chatroom, to every member.

`size` is the number of characters of the text that the application reads in each message ({"text": ...},
type 0); on the wire each message also carries its envelope (conversation, ids, time, sender: about 70
bytes).
"""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass, replace
from statistics import median
from typing import Any

from benchmarks.figures import Figure, ServerReport, figure, median_of
from benchmarks.highest_rate import Bounds, HighestRate, Point, find_highest_rate
from benchmarks.loadgen.fleet import Fleet, Load, Measured, Shape
from benchmarks.scenarios.context import (
    CONNECT_TIMEOUT_S,
    CONNECT_WINDOW,
    Context,
    stage,
    suite_number,
    summary,
)
from benchmarks.scenarios.slow_readers import SlowReaders, watched
from benchmarks.servers import Sample, ServerPlan, Servers, gateways_for
from frame.constants import ROOM_PREFIX

ROOM = "hall"
PROBE_S = 3.0  # length of one step of a search
START_PER_S = 200_000.0  # deliveries a second of the first step


@dataclass(frozen=True, slots=True)
class FanoutOptions:
    members: int = 5000
    size: int = 60
    rate: float = 0.0  # messages a second into the room; 0: search the highest rate
    seconds: float = 10.0
    warm_up_s: float = 2.0
    suite: str = "aegis128l"
    transport: str = "tcp"
    publishers: int = 4
    slow: int = 0  # further members who stop reading while the load is measured
    p99_ms: float = 500.0
    k: int = 0  # most messages in one flush; 0: as the server decides
    zstd: bool = False  # members accept compressed bodies
    gateways: int = 0  # 0: as many as the limit of open files asks for
    loops: int = 0
    generators: int = 0
    hold_ms: float = 0.0
    nap_us: int = 1000
    runs: int = 1
    drain_s: float = 20.0

    @property
    def connections(self) -> int:
        return self.members + self.publishers + self.slow


def plan_of(options: FanoutOptions) -> ServerPlan:
    """Limits that protect a public server are off: the load is wanted."""
    from benchmarks.scenarios.preparation import OPEN_CORE, OPEN_SERVICE, flush_settings

    return ServerPlan(
        gateways=options.gateways or gateways_for(options.connections),
        loops=options.loops,
        core={**OPEN_CORE, **flush_settings(options.k)},
        service=OPEN_SERVICE,
    )


def shape_of(options: FanoutOptions) -> Shape:
    return Shape(
        gateways=[],
        members=options.members,
        publishers=options.publishers,
        deaf=options.slow,
        suite=suite_number(options.suite),
        websocket=options.transport == "ws",
        zstd=options.zstd,
        text_size=options.size,
        ping_s=200,
        processes=options.generators,
    )


def load_of(options: FanoutOptions, rate: float, seconds: float) -> Load:
    return Load(
        rate=rate,
        seconds=seconds,
        warm_up_s=options.warm_up_s,
        drain_s=options.drain_s,
        hold_ms=options.hold_ms,
        nap_us=options.nap_us,
    )


def assemble(context: Context, servers: Servers, fleet: Fleet) -> None:
    """Make the room and bring everyone in."""
    from benchmarks.scenarios.preparation import create_room

    create_room(servers, ROOM)
    gather(context, fleet)


def gather(context: Context, fleet: Fleet) -> None:
    """Connect and join whoever is not there (anew after a load that lost connections)."""
    fleet.connect(CONNECT_WINDOW, CONNECT_TIMEOUT_S, context.progress)
    fleet.join(ROOM_PREFIX + ROOM, CONNECT_WINDOW, CONNECT_TIMEOUT_S, context.progress)


class Run:
    """Measures one load between two samples of the servers; whom it cost the connection is back then."""

    def __init__(self, context: Context, servers: Servers, fleet: Fleet) -> None:
        self.context = context
        self.servers = servers
        self.fleet = fleet
        self.edges: dict[bool, Sample] = {}
        self.slow: SlowReaders | None = None

    def measure(self, load: Load) -> Measured:
        count = self.fleet.shape.deaf
        with watched(self.servers, count) if count else nullcontext() as self.slow:
            measured = self.fleet.measure(load, ROOM_PREFIX + ROOM, self.context.progress, self._edge)
        if measured.closed or (self.slow and self.slow.closed):
            gather(self.context, self.fleet)
        return measured

    def _edge(self, opening: bool) -> None:
        self.edges[opening] = self.servers.sample(memory=not opening)

    def report(self, **more: Any) -> ServerReport:
        return ServerReport.between(self.edges[True], self.edges[False], **more)


def search(context: Context, run: Run, options: FanoutOptions) -> HighestRate:
    """The highest rate of this room, in messages a second."""

    def probe(rate: float) -> Measured:
        return run.measure(load_of(options, rate, PROBE_S))

    def show(point: Point) -> None:
        measured = point.measured
        context.note(
            f"  {point.rate:10,.1f} msg/s  {measured.throughput_per_s:13,.0f}/s delivered  "
            f"K {measured.k_mean:6.1f}  p99 {measured.delivery.percentile(99) / 1000:8.1f} ms  "
            f"{point.failure or 'ok'}"
        )

    start = max(1.0, START_PER_S / options.members)
    return find_highest_rate(probe, Bounds(options.p99_ms), start, seen=show)


def run_fanout(context: Context, options: FanoutOptions) -> Figure:
    """One figure: at the given rate, or at the highest (confirmed over the whole length; 7 % less when it
    fails).
    """
    with stage(context, plan_of(options), shape_of(options)) as (servers, fleet):
        empty = servers.sample()
        assemble(context, servers, fleet)
        run = Run(context, servers, fleet)
        rate = options.rate or search(context, run, options).best.rate
        bounds = Bounds(options.p99_ms)
        found: list[Figure] = []
        tries = 0
        while len(found) < options.runs:
            measured = run.measure(load_of(options, rate, options.seconds))
            failure = bounds.failure(measured)
            report = run.report(empty_rss=empty.gateway_rss, connections=options.connections)
            tries += 1
            if failure is not None and not options.rate and tries < 6:
                context.note(f"  {rate:,.1f} msg/s over {options.seconds:.0f} s: {failure}; trying 7 % less")
                rate *= 0.93
                continue
            found.append(_figure(context, options, measured, report, rate, failure, run.slow))
    return median_of(found)


def _figure(
    context: Context,
    options: FanoutOptions,
    measured: Measured,
    report: ServerReport,
    rate: float,
    failure: str | None,
    slow: SlowReaders | None = None,
) -> Figure:
    return figure(
        "fanout",
        context.command,
        connections=options.connections,
        size=options.size,
        suite=options.suite,
        transport=options.transport,
        measured=measured,
        server=report,
        bound_ms=options.p99_ms,
        members=options.members,
        publishers=options.publishers,
        slow=options.slow,
        zstd=options.zstd,
        rate=round(rate, 2),
        hold_ms=options.hold_ms,
        passed=failure is None,
        failure=failure,
        **summary(slow_readers=slow and slow.as_json()),
    )


def run_sweep(context: Context, options: FanoutOptions, sizes: list[int], rates: list[float]) -> list[Figure]:
    """The curve: every step of the search for each size (and every given rate), each as a figure of its
    own.
    """
    figures: list[Figure] = []
    for size in sizes:
        sized = replace(options, size=size)
        with stage(context, plan_of(sized), shape_of(sized)) as (servers, fleet):
            empty = servers.sample()
            assemble(context, servers, fleet)
            run = Run(context, servers, fleet)
            context.note(f"size {size}:")

            def record(
                point: Point, run: Run = run, sized: FanoutOptions = sized, empty: Sample = empty
            ) -> None:
                report = run.report(empty_rss=empty.gateway_rss, connections=sized.connections)
                item = _figure(context, sized, point.measured, report, point.rate, point.failure)
                figures.append({**item, "scenario": "sweep"})

            if rates:
                for rate in rates:
                    measured = run.measure(load_of(sized, rate, sized.seconds))
                    record(Point(rate, measured, Bounds(sized.p99_ms).failure(measured)))
            else:
                for point in _searched(context, run, sized, record):
                    context.note(f"  highest rate {point.rate:,.1f} msg/s")
    return figures


def _searched(context: Context, run: Run, options: FanoutOptions, record: Any) -> list[Point]:
    def probe(rate: float) -> Measured:
        return run.measure(load_of(options, rate, PROBE_S))

    highest = find_highest_rate(
        probe, Bounds(options.p99_ms), max(1.0, START_PER_S / options.members), seen=record
    )
    return [highest.best]


def middle(values: list[float]) -> float:
    return median(values) if values else 0.0
