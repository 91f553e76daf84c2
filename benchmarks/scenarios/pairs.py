"""Unicast: every even client sends to the next odd one. Stored (`send`), online only through the im service
(`relay`), or from topic to topic inside the core (`relay --core`)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from benchmarks.figures import Figure, ServerReport, figure, latency_ms, median_of
from benchmarks.highest_rate import Bounds, Point, find_highest_rate
from benchmarks.loadgen.fleet import Fleet, Load, Measured, Shape
from benchmarks.scenarios.context import CONNECT_TIMEOUT_S, CONNECT_WINDOW, Context, stage, suite_number
from benchmarks.scenarios.preparation import OPEN_CORE, OPEN_SERVICE, RELAY_PREFIX
from benchmarks.servers import Sample, ServerPlan, Servers, gateways_for

Kind = Literal["send", "relay", "relay-core"]
PROBE_S = 3.0
START_PER_S = 2000.0


@dataclass(frozen=True, slots=True)
class PairOptions:
    kind: Kind = "send"
    connections: int = 1000
    size: int = 60
    rate: float = 0.0  # messages a second of all senders; 0: search the highest rate
    seconds: float = 10.0
    warm_up_s: float = 2.0
    suite: str = "aegis128l"
    transport: str = "tcp"
    p99_ms: float = 250.0
    gateways: int = 0
    loops: int = 0
    generators: int = 0
    nap_us: int = 200
    runs: int = 1
    drain_s: float = 20.0


def plan_of(options: PairOptions) -> ServerPlan:
    core = dict(OPEN_CORE)
    if options.kind == "relay-core":
        core["relay_prefix"] = RELAY_PREFIX
    return ServerPlan(
        gateways=options.gateways or gateways_for(options.connections),
        loops=options.loops,
        core=core,
        service=OPEN_SERVICE,
    )


def shape_of(options: PairOptions) -> Shape:
    return Shape(
        gateways=[],
        members=options.connections // 2 * 2,
        pair=True,
        suite=suite_number(options.suite),
        websocket=options.transport == "ws",
        text_size=options.size,
        ping_s=200,
        online_only=options.kind == "relay",
        core=options.kind == "relay-core",
        processes=options.generators,
    )


class Run:
    """Measures one load between two samples of the servers."""

    def __init__(self, context: Context, servers: Servers, fleet: Fleet, options: PairOptions) -> None:
        self.context = context
        self.servers = servers
        self.fleet = fleet
        self.options = options
        self.bounds = Bounds(options.p99_ms)
        self.edges: dict[bool, Sample] = {}

    def measure(self, rate: float, seconds: float) -> Measured:
        options = self.options
        load = Load(rate, seconds, options.warm_up_s, options.drain_s, nap_us=options.nap_us)
        measured = self.fleet.measure(load, progress=self.context.progress, at_window=self._edge)
        if measured.closed:
            self.connect()
        return measured

    def connect(self) -> None:
        self.fleet.connect(CONNECT_WINDOW, CONNECT_TIMEOUT_S, self.context.progress)

    def _edge(self, opening: bool) -> None:
        self.edges[opening] = self.servers.sample(memory=not opening)

    def report(self) -> ServerReport:
        return ServerReport.between(self.edges[True], self.edges[False])

    def highest_rate(self) -> float:
        def show(point: Point) -> None:
            measured = point.measured
            self.context.note(
                f"  {point.rate:10,.0f} msg/s  {measured.throughput_per_s:10,.0f}/s delivered  "
                f"p99 {measured.delivery.percentile(99) / 1000:7.1f} ms  ack p99 "
                f"{measured.ack.percentile(99) / 1000:7.1f} ms  {point.failure or 'ok'}"
            )

        return find_highest_rate(
            lambda rate: self.measure(rate, PROBE_S), self.bounds, START_PER_S, seen=show
        ).best.rate


def run_pairs(context: Context, options: PairOptions) -> Figure:
    """One figure at the given or the highest rate; for `send` and `relay` also acknowledgements at half
    that rate.
    """
    with stage(context, plan_of(options), shape_of(options)) as (servers, fleet):
        run = Run(context, servers, fleet, options)
        run.connect()
        rate = options.rate or run.highest_rate()
        found: list[Figure] = []
        tries = 0
        while len(found) < options.runs:
            measured = run.measure(rate, options.seconds)
            failure = run.bounds.failure(measured)
            tries += 1
            if failure is not None and not options.rate and tries < 6:
                context.note(f"  {rate:,.0f} msg/s over {options.seconds:.0f} s: {failure}; trying 7 % less")
                rate *= 0.93
                continue
            found.append(_figure(context, options, measured, run.report(), rate, failure))
        result = median_of(found)
        if options.kind != "relay-core":
            half = run.measure(rate / 2, options.seconds)
            result["half_rate"] = {
                "offered_per_s": rate / 2,
                "latency_ms": latency_ms(half.delivery),
                "ack_latency_ms": latency_ms(half.ack),
                "lost": half.lost,
            }
    return result


def _figure(
    context: Context,
    options: PairOptions,
    measured: Measured,
    report: ServerReport,
    rate: float,
    failure: str | None,
) -> Figure:
    more: dict[str, Any] = {}
    if report.cpu_s > 0:
        more["per_server_core_per_s"] = round(measured.throughput_per_s * measured.seconds / report.cpu_s, 1)
    return figure(
        options.kind,
        context.command,
        connections=options.connections,
        size=options.size,
        suite=options.suite,
        transport=options.transport,
        measured=measured,
        server=report,
        bound_ms=options.p99_ms,
        rate=round(rate, 1),
        acked_per_s=round(measured.acked_per_s, 1),
        ack_latency_ms=latency_ms(measured.ack),
        passed=failure is None,
        failure=failure,
        **more,
    )
