"""Compare: the same members, size, rate search and latency bound for this server and for peers, in one run.

Each peer is searched with every batching of `holds`: publishers write what is due at once, or every so many
milliseconds (the wait counts as latency); from the second on the search starts at half the rate of the first.
The best of these rates stands. Peers are plaintext; this server encrypts.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from benchmarks.figures import Figure, figure
from benchmarks.highest_rate import Bounds, Point, find_highest_rate
from benchmarks.loadgen.fleet import Fleet, Load, Measured, Shape
from benchmarks.peers import PEERS, Peer
from benchmarks.scenarios.context import CONNECT_TIMEOUT_S, CONNECT_WINDOW, Context
from benchmarks.scenarios.fanout import PROBE_S, START_PER_S, FanoutOptions, run_fanout
from benchmarks.servers import Sample

TOPIC = "hall"
HOLDS_MS = (0.0, 50.0)


def run_compare(context: Context, options: FanoutOptions, peers: list[str]) -> Figure:
    """This server's figure with `peers` (the same keys each) and `ratios` (ours / theirs, by throughput)."""
    context.note(f"qianwan, {options.members:,} members:")
    ours = run_fanout(context, options)
    theirs: dict[str, Figure] = {}
    for name in peers:
        kind = PEERS[name]
        if reason := kind.missing():
            context.note(f"{name} is left out: {reason}")
            continue
        context.note(f"{name} ({kind.version()}):")
        theirs[name] = run_peer(context, options, name, kind)
    ratios = {
        name: round(ours["throughput_per_s"] / item["throughput_per_s"], 2)
        for name, item in theirs.items()
        if item["throughput_per_s"]
    }
    return {**ours, "scenario": "compare", "peers": theirs, "ratios": ratios}


def run_peer(context: Context, options: FanoutOptions, name: str, kind: type[Peer]) -> Figure:
    """The best confirmed rate over all holds."""
    start = max(1.0, START_PER_S / 8 / options.members)
    found: list[Figure] = []
    for hold_ms in HOLDS_MS:
        found.append(_searched(context, replace(options, hold_ms=hold_ms), name, kind, start))
        start = found[0]["rate"] / 2
    return max(found, key=lambda item: (item["passed"], item["throughput_per_s"]))


class PeerRun:
    """One peer process and a fleet that can be gathered again after a load that lost connections."""

    def __init__(self, context: Context, peer: Peer, fleet: Fleet, options: FanoutOptions) -> None:
        self.context = context
        self.peer = peer
        self.fleet = fleet
        self.options = options
        self.edges: dict[bool, Sample] = {}

    def gather(self) -> None:
        self.fleet.connect(CONNECT_WINDOW, CONNECT_TIMEOUT_S, self.context.progress)
        self.fleet.join(TOPIC, CONNECT_WINDOW, CONNECT_TIMEOUT_S, self.context.progress)

    def measure(self, rate: float, seconds: float) -> Measured:
        options = self.options
        load = Load(rate, seconds, options.warm_up_s, options.drain_s, options.hold_ms, options.nap_us)
        measured = self.fleet.measure(load, TOPIC, self.context.progress, self._edge)
        if measured.closed:
            self.gather()
        return measured

    def _edge(self, opening: bool) -> None:
        self.edges[opening] = self.peer.sample()

    def highest_rate(self, start: float) -> float:
        """The highest rate that passes, searched from `start` messages a second."""

        def show(point: Point) -> None:
            measured = point.measured
            self.context.note(
                f"  hold {self.options.hold_ms:3.0f} ms  {point.rate:10,.1f} msg/s  "
                f"{measured.throughput_per_s:13,.0f}/s delivered  K {measured.k_mean:6.1f}  "
                f"p99 {measured.delivery.percentile(99) / 1000:8.1f} ms  {point.failure or 'ok'}"
            )

        bounds = Bounds(self.options.p99_ms)
        return find_highest_rate(lambda rate: self.measure(rate, PROBE_S), bounds, start, seen=show).best.rate


def _searched(context: Context, options: FanoutOptions, name: str, kind: type[Peer], start: float) -> Figure:
    connections = options.members + options.publishers
    shape = Shape(
        gateways=[],
        members=options.members,
        publishers=options.publishers,
        wire=kind.wire,
        text_size=options.size,
        processes=options.generators,
    )
    with kind() as peer, Fleet(replace(shape, gateways=peer.gateways)) as fleet:
        empty = peer.sample()
        run = PeerRun(context, peer, fleet, options)
        run.gather()
        rate = options.rate or run.highest_rate(start)
        bounds = Bounds(options.p99_ms)
        for _ in range(6):
            measured = run.measure(rate, options.seconds)
            failure = bounds.failure(measured)
            if failure is None or options.rate:
                break
            rate *= 0.93
        context.done()
        report = peer.report(run.edges[True], run.edges[False], empty.rss, connections)
        more: dict[str, Any] = {"version": kind.version(), "hold_ms": options.hold_ms, "rate": round(rate, 2)}
        return figure(
            f"fanout of {name}",
            context.command,
            connections=connections,
            size=options.size,
            suite="none",
            measured=measured,
            server=report,
            bound_ms=options.p99_ms,
            passed=failure is None,
            failure=failure,
            members=options.members,
            **more,
        )
