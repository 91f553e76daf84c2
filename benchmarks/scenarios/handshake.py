"""Handshakes: clients that connect, shake hands in full, hang up and come again, as fast as they are
answered.

The server makes a fresh ephemeral key and two DH for each; the generator reuses its own (wires/qw1.pyx). With
`--login` each client also authenticates, which adds the token check in Python.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

from benchmarks.figures import Figure, ServerReport, figure
from benchmarks.loadgen.fleet import Counters, Load, Shape
from benchmarks.scenarios.context import Context, stage, suite_number
from benchmarks.scenarios.preparation import OPEN_CORE, OPEN_SERVICE
from benchmarks.servers import ServerPlan

BOUND_MS = 1000.0


@dataclass(frozen=True, slots=True)
class HandshakeOptions:
    window: int = 64  # connections under way at a time
    seconds: float = 10.0
    warm_up_s: float = 2.0
    suite: str = "aegis128l"
    transport: str = "tcp"
    login: bool = False
    loops: int = 1
    generators: int = 1


def run_handshake(context: Context, options: HandshakeOptions) -> Figure:
    """One figure; `per_server_core_per_s` divides by the CPU seconds of the server."""
    plan = ServerPlan(loops=options.loops, core=OPEN_CORE, service=OPEN_SERVICE)
    shape = Shape(
        gateways=[],
        members=options.window,
        suite=suite_number(options.suite),
        websocket=options.transport == "ws",
        processes=options.generators,
    )
    what = "live" if options.login else "handshaken"
    with stage(context, plan, shape, login=options.login) as (servers, fleet):
        each = max(1, options.window // len(fleet.processes))
        fleet.ask_all("connect", to=options.window, window=each, churn=2 if options.login else 1)
        time.sleep(options.warm_up_s)
        fleet.ask_all("clear_login_times")
        measured = fleet.measure(Load(rate=0, seconds=0.2, warm_up_s=0, drain_s=0.0, nap_us=0))
        first_sample, first, began = servers.sample(memory=False), fleet.counters(), time.monotonic()
        while (left := began + options.seconds - time.monotonic()) > 0:
            time.sleep(min(1.0, left))
            context.progress("shaking hands", fleet.counters())
        last, last_sample = fleet.counters(), servers.sample()
        span = time.monotonic() - began
        logins = fleet.histograms()["login"]
        fleet.ask_all("connect", to=0, window=0)
        report = ServerReport.between(first_sample, last_sample)
        measured.seconds = span
        measured.cpu_s = [_spent(first, last)]
        done = last[what] - first[what]
        measured.throughput_per_s = measured.offered_per_s = done / span
        return figure(
            "handshake",
            context.command,
            connections=options.window,
            size=0,
            suite=options.suite,
            transport=options.transport,
            measured=measured,
            server=report,
            bound_ms=BOUND_MS,
            latency=logins,
            handshakes=done,
            failed=last["failed"] - first["failed"],
            login=options.login,
            per_server_core_per_s=round(done / report.cpu_s, 1) if report.cpu_s else 0.0,
        )


def _spent(first: Counters, last: Counters) -> float:
    return (last["cpu_ns"] - first["cpu_ns"]) / 1e9
