"""Many runs: profiles by workloads by systems by seeds, and one figure of them."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from benchmarks.figures import Figure
from benchmarks.machine import commit, machine
from benchmarks.weaknet.mqtt import Mosquitto
from benchmarks.weaknet.ours import SUITE, Qianwan, WithoutResume
from benchmarks.weaknet.profiles import Profile
from benchmarks.weaknet.run import WeakOptions, median_row, run_one
from benchmarks.weaknet.socketio import SocketIo
from benchmarks.weaknet.system import System
from benchmarks.weaknet.websocket import WebSocket

SYSTEMS: dict[str, type[System]] = {
    "qianwan": Qianwan,
    "without": WithoutResume,
    "mosquitto": Mosquitto,
    "websocket": WebSocket,
    "socketio": SocketIo,
}


@dataclass(frozen=True, slots=True)
class Plan:
    """`runs`: pairs of profile and workload. With several seeds the systems take turns for each."""

    runs: Sequence[tuple[str, str]]
    systems: Sequence[str]
    seeds: int
    options: WeakOptions


def run_plan(plan: Plan, profiles: Mapping[str, Profile], say: Callable[[str], None]) -> list[Figure]:
    """A row for each profile, workload and system. Raises NetworkRefused."""
    rows: list[Figure] = []
    for key, workload in plan.runs:
        found: dict[str, list[Figure]] = defaultdict(list)
        for n in range(plan.seeds):
            options = replace(plan.options, seed=(plan.options.seed or profiles[key].seed) + n)
            for name in plan.systems if n % 2 == 0 else tuple(reversed(plan.systems)):
                say(f"{key} {profiles[key].name}, {workload}, {name}, seed {options.seed}")
                found[name].append(run_one(dict(profiles), key, workload, SYSTEMS[name], options))
        rows += [median_row(found[name]) for name in plan.systems]
    return rows


def failures(rows: Iterable[Figure]) -> list[str]:
    """One line for each gate that did not hold."""
    return [
        f"{row['profile']} {row['workload']} {row['system']}: {row['lost']} lost, {row['doubled']} doubled"
        for row in rows
        if not row["passed"]
    ]


def figure_of(command: str, rows: Sequence[Figure]) -> Figure:
    """The JSON of all rows; what stands above them is of our own system, or of all when it is not there."""
    own = [row for row in rows if row["system"] == Qianwan.name] or list(rows)
    delivered, seconds = (sum(row[name] for row in own) for name in ("delivered", "seconds"))
    worst = max(own, key=lambda row: row["latency_ms"]["p99"])
    return {
        "scenario": "weaknet",
        "command": command,
        "connections": max(row["phones"] for row in own),
        "size": 0,
        "suite": SUITE,
        "throughput_per_s": round(delivered / seconds, 1),
        "k_mean": 0.0,
        "latency_ms": {**worst["latency_ms"], "p999": worst["latency_ms"]["max"]},
        "lost": sum(row["lost"] for row in own),
        "reordered": 0,
        "duplicated": sum(row["doubled"] for row in own),
        "generator_limited": False,
        "generator": {},
        "server": {"processes": 1, "cpu_s": 0.0, "rss_bytes": 0, "user_bytes_per_connection": 0.0},
        "rows": list(rows),
        "machine": machine(),
        "commit": commit(),
        "when": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }
