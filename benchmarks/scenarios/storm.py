"""A storm: clients on two gateways, one of them is killed, and its clients come to the other at once.

They are impatient: who is refused comes again after a second, whatever it was told. So what is measured is
the server's pace alone: nobody may come in faster than the gateway admits, those who were there must not
notice, and all must be in within the time.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, replace
from typing import NamedTuple

from benchmarks.figures import Figure, ServerReport, figure
from benchmarks.loadgen.fleet import Counters, Fleet, FleetError, Load, Shape
from benchmarks.loadgen.fleet.result import here
from benchmarks.scenarios.context import CONNECT_TIMEOUT_S, CONNECT_WINDOW, Context, stage, suite_number
from benchmarks.scenarios.preparation import OPEN_CORE, OPEN_SERVICE
from benchmarks.servers import ServerPlan, Servers, gateways_for

AGAIN_S = 1.0
"""After which a refused client comes again."""
LOOK_S = 0.25
BOUND_MS = 60_000.0
BURST_S = 1.0
"""Of the bucket, as the server's settings have it."""


class Reading(NamedTuple):
    """Newcomers that the gateway had let in at some time between `before` and `after`."""

    before: float
    after: float
    admitted: int


@dataclass(frozen=True, slots=True)
class StormOptions:
    clients: int = 20_000  # half of them on each gateway
    admitted_per_s: float = 400.0
    within_s: float = 60.0
    window: int = 2_000  # of those who come back, under way at a time
    suite: str = "aegis128l"
    loops: int = 1


def run_storm(context: Context, options: StormOptions) -> Figure:
    """One figure: how long until all are back. Raises FleetError where the gateway let in more than it may,
    or not all in time. The rate is the gateway's; where it has several processes, each has its share.
    """
    half = options.clients // 2
    clients = 2 * half
    parts = gateways_for(clients)
    if parts > 1:
        context.note(f"the gateway that stays has {parts} processes: one may have no more files open")
    plan = ServerPlan(loops=options.loops, core=OPEN_CORE, service=OPEN_SERVICE)
    paced = replace(plan, gateways=parts, admission={"new_per_s": options.admitted_per_s / parts})
    shape = Shape(
        gateways=[], members=half, suite=suite_number(options.suite), user_prefix="dies", processes=1
    )
    stays = replace(shape, user_prefix="stays")
    with stage(context, plan, shape) as (first, lost), stage(context, paced, stays) as (second, there):
        lost.connect(CONNECT_WINDOW, CONNECT_TIMEOUT_S, context.progress)
        _come(there, second, half, options.window, CONNECT_TIMEOUT_S, context)
        coming = replace(stays, user_prefix="comes")
        with _fleet(second, coming) as fleet:
            before, closed = second.sample(memory=False), there.counters()["closed"]
            first.processes[0].popen.kill()
            began = time.monotonic()
            readings = _come(fleet, second, half, options.window, options.within_s, context)
            back_s = time.monotonic() - began
            report = ServerReport.between(before, second.sample())
            measured = fleet.measure(Load(rate=0, seconds=0.2, warm_up_s=0, drain_s=0.0, nap_us=0))
            counters, logins = fleet.counters(), fleet.histograms()["login"]
        left = there.counters()["closed"] - closed
    measured.seconds = back_s
    measured.throughput_per_s = measured.offered_per_s = half / back_s
    beyond = beyond_the_rate(readings, options.admitted_per_s, options.admitted_per_s * BURST_S)
    if here(counters) < half:
        raise FleetError(f"{here(counters):,} of {half:,} came back within {options.within_s:g} s")
    if beyond:
        raise FleetError(f"{beyond} more came in than {options.admitted_per_s:g} a second")
    if left:
        raise FleetError(f"{left} of those who were there were closed")
    context.note(
        f"all {half:,} back after {back_s:.1f} s; {counters['rejected']:,} times one was told to wait"
    )
    return figure(
        "storm",
        context.command,
        connections=clients,
        size=0,
        suite=options.suite,
        measured=measured,
        server=report,
        bound_ms=BOUND_MS,
        latency=logins,
        back_s=round(back_s, 2),
        admitted_per_s=options.admitted_per_s,
        deferred=counters["rejected"],
    )


def _fleet(servers: Servers, shape: Shape) -> Fleet:
    key_id, public = servers.server_key()
    ready = replace(shape, gateways=servers.gateways, key_id=key_id, server_key=public, mint=servers.mint())
    return Fleet(ready)


def _come(
    fleet: Fleet, servers: Servers, total: int, window: int, within_s: float, context: Context
) -> list[Reading]:
    """Connect all, those who are refused once a second again."""
    until, asked = time.monotonic() + within_s, 0.0
    readings = [_read(servers)]
    while (now := time.monotonic()) < until:
        if now - asked >= AGAIN_S:
            asked = now
            fleet.ask_all("connect", to=total, window=window)
        time.sleep(LOOK_S)
        readings.append(_read(servers))
        seen: Counters = fleet.counters()
        context.progress("coming back", seen)
        if here(seen) >= total:
            break
    return readings


def _read(servers: Servers) -> Reading:
    before = time.monotonic()
    admitted = servers.metrics().get("qianwan_gateway_admitted_new_total", 0.0)
    return Reading(before, time.monotonic(), round(admitted))


def beyond_the_rate(readings: list[Reading], per_s: float, burst: float) -> int:
    """How many more came in between two readings than the bucket lets in, at most; 0: never more."""
    most = 0.0
    for i, first in enumerate(readings):
        for last in readings[i + 1 :]:
            may = burst + per_s * (last.after - first.before)
            most = max(most, last.admitted - first.admitted - may)
    return math.ceil(most)
