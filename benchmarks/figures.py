"""From what was measured to what is written: the JSON of a figure, and if the generator was the limit."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.loadgen.fleet import Measured
from benchmarks.loadgen.histogram import Histogram
from benchmarks.machine import commit, machine
from benchmarks.servers import Sample
from control.metrics import LONGEST_TURN, TURNS, longest_turn_s

Figure = dict[str, Any]

FULL_CORE = 0.97  # of a core: a generator process above this has nothing left
SUITES = {"chachapoly": 1, "aesgcm": 2, "aegis128l": 3}
STAGE_SECONDS = 'qianwan_gateway_stage_seconds_total{stage="'
STAGE_COUNTS = 'qianwan_gateway_stage_operations_total{stage="'
TURN_COUNTS = f'{TURNS}_bucket{{le="'


def latency_ms(hist: Histogram) -> dict[str, float]:
    """Percentiles in milliseconds; zeros when nothing was recorded."""
    return {
        "p50": hist.percentile(50) / 1000,
        "p99": hist.percentile(99) / 1000,
        "p999": hist.percentile(99.9) / 1000,
        "max": hist.max_us / 1000,
    }


@dataclass(slots=True)
class ServerReport:
    """What the server used between two samples."""

    processes: int = 0
    cpu_s: float = 0.0
    rss_bytes: int = 0
    user_bytes_per_connection: float = 0.0
    max_pause_ms: float = 0.0
    stages: dict[str, dict[str, float]] = field(default_factory=dict)
    machine_busy: float = 0.0  # share of all cores
    machine_used_s: float = 0.0  # CPU seconds of the whole machine
    seconds: float = 0.0  # between the samples

    @classmethod
    def between(
        cls, first: Sample, last: Sample, *, empty_rss: int = 0, connections: int = 0
    ) -> ServerReport:
        """`empty_rss`: resident memory of the gateways before the first connection."""
        user = (last.gateway_rss - empty_rss) / connections if connections and empty_rss else 0.0
        return cls(
            last.processes,
            last.cpu_s - first.done_cpu_s,
            last.rss,
            user,
            longest_turn(first.metrics, last.metrics) * 1000,
            stages(first.metrics, last.metrics),
            last.busy.share_since(first.busy),
            last.busy.used - first.busy.used,
            last.at - first.done_at,
        )

    def as_json(self) -> Figure:
        return {
            "processes": self.processes,
            "cpu_s": round(self.cpu_s, 3),
            "rss_bytes": self.rss_bytes,
            "user_bytes_per_connection": round(self.user_bytes_per_connection, 1),
            "max_pause_ms": round(self.max_pause_ms, 3),
            "stages": self.stages,
        }


def stages(first: dict[str, float], last: dict[str, float]) -> dict[str, dict[str, float]]:
    """Stage -> milliseconds and operations between two scrapes."""
    result: dict[str, dict[str, float]] = {}
    for name, value in last.items():
        for prefix, key, scale in ((STAGE_SECONDS, "ms", 1000.0), (STAGE_COUNTS, "count", 1.0)):
            if name.startswith(prefix):
                stage = name[len(prefix) :].partition('"')[0]
                result.setdefault(stage, {})[key] = round((value - first.get(name, 0.0)) * scale, 3)
    return result


def longest_turn(first: dict[str, float], last: dict[str, float]) -> float:
    """Seconds of the longest turn of a loop between two scrapes; at most a quarter too long."""
    turns = {
        float(name[len(TURN_COUNTS) :].partition('"')[0]): count - first.get(name, 0.0)
        for name, count in last.items()
        if name.startswith(TURN_COUNTS)
    }
    return longest_turn_s(turns, last.get(LONGEST_TURN, 0.0))


def limits_of(measured: Measured, server: ServerReport, bound_ms: float) -> list[str]:
    """Why the generator, not the server, may have set this figure; empty when it did not."""
    reasons = []
    used = sum(measured.cpu_s)
    if measured.cpu_s and max(measured.cpu_s) >= FULL_CORE * measured.seconds:
        reasons.append("a generator process used a whole core")
    late = measured.lag.percentile(99) / 1000
    if measured.lag.total and late > max(5.0, 0.1 * bound_ms):
        reasons.append(f"senders were late: p99 {late:.0f} ms")
    turn = measured.turn.percentile(99) / 1000
    if turn > max(5.0, 0.25 * bound_ms):
        reasons.append(f"turns of the receiving loop took {turn:.0f} ms (p99)")
    if server.machine_busy > FULL_CORE and used > max(server.cpu_s, 0.5 * server.machine_used_s):
        reasons.append("the machine was full and the generator took the larger part")
    return reasons


def others_of(measured: Measured, server: ServerReport) -> float:
    """Cores that neither server nor generator used: neighbours, and the kernel's own work."""
    used = server.machine_used_s - server.cpu_s - sum(measured.cpu_s)
    return max(0.0, used / measured.seconds) if measured.seconds else 0.0


def figure(
    scenario: str,
    command: str,
    *,
    connections: int,
    size: int,
    suite: str,
    measured: Measured,
    server: ServerReport,
    bound_ms: float,
    latency: Histogram | None = None,
    **more: Any,
) -> Figure:
    """The JSON of one figure. `latency` replaces the delivery latency (acknowledgements, logins)."""
    reasons = limits_of(measured, server, bound_ms)
    return {
        "scenario": scenario,
        "command": command,
        "connections": connections,
        "size": size,
        "suite": suite,
        "offered_per_s": round(measured.offered_per_s, 1),
        "throughput_per_s": round(measured.throughput_per_s, 1),
        "k_mean": round(measured.k_mean, 2),
        "wire_bytes_each": round(measured.bytes_each, 1),
        "latency_ms": latency_ms(measured.delivery if latency is None else latency),
        "lost": measured.lost,
        "reordered": measured.reordered,
        "duplicated": measured.duplicated,
        "generator_limited": bool(reasons),
        "generator": {
            "processes": len(measured.cpu_s),
            "cpu_s": round(sum(measured.cpu_s), 3),
            "reasons": reasons,
            "send_lag_ms": latency_ms(measured.lag),
            "turn_ms": latency_ms(measured.turn),
            "machine_busy": round(server.machine_busy, 3),
            "other_programs_cores": round(others_of(measured, server), 3),
        },
        "server": server.as_json(),
        "seconds": measured.seconds,
        "sent": measured.sent,
        "refused": measured.refused,
        "refusal_code": measured.refusal_code,
        "closed": measured.closed,
        "unexpected": measured.foreign,
        "machine": machine(),
        "commit": commit(),
        "when": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        **more,
    }


def median_of(figures: Sequence[Figure]) -> Figure:
    """The run in the middle by throughput, with all throughputs beside it."""
    ordered = sorted(figures, key=lambda item: float(item["throughput_per_s"]))
    middle = ordered[(len(ordered) - 1) // 2]
    return {**middle, "runs": [item["throughput_per_s"] for item in figures]}


def write_json(path: Path, item: Figure) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(item, indent=2) + "\n")
