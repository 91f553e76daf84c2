"""The routing table at its size: bytes a topic as resident memory, announcements and look-ups a second, and
the longest stretch that an im process does nothing else.

Each round runs in a fresh process, so that its resident memory is its own. Names are made outside of what is
timed; batches have the size that a gateway repeats its topics in.
"""

from __future__ import annotations

import multiprocessing
import random
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from itertools import islice

from benchmarks.machine import commit, machine
from control.routing.compact import CompactRoutes
from frame.constants import USER_PREFIX

Json = dict[str, object]

BATCH = 1024
EPOCH = 77
LOOK_UPS = 1_000_000
MOST_GATEWAYS = 20
PEAK_FROM = 100_000
"""Topics from which on bytes a topic are compared: the first ones pay for what is there once."""


@dataclass(frozen=True, slots=True)
class RoutesOptions:
    topics: int = 10_000_000
    gateways: int = 100
    shared: float = 0.1
    """share of the topics that have members at 2 to 20 gateways, in the second round"""


class Stretch:
    """Many short jobs: seconds of the CPU that each took, which others on the machine hardly lengthen, and
    the longest by the clock."""

    def __init__(self) -> None:
        self.cpu_s: list[float] = []
        self.wall_s = 0.0

    def time(self, job: Callable[[], object]) -> object:
        wall, cpu = time.perf_counter(), time.thread_time()
        answer = job()
        self.cpu_s.append(time.thread_time() - cpu)
        self.wall_s = max(self.wall_s, time.perf_counter() - wall)
        return answer

    def figures(self) -> Json:
        rising = sorted(self.cpu_s)
        return {
            "jobs": len(rising),
            "cpu_s": round(sum(rising), 4),
            "cpu_ms_p99": round(1000 * rising[int(0.99 * len(rising))], 3),
            "cpu_ms_p999": round(1000 * rising[int(0.999 * len(rising))], 3),
            "cpu_ms_longest": round(1000 * rising[-1], 3),
            "wall_ms_longest": round(1000 * self.wall_s, 3),
        }


def run_routes(options: RoutesOptions, command: str, tell: Callable[[str], None]) -> Json:
    """Two rounds: every topic at one gateway, and a share of them at 2 to 20."""
    rounds = []
    context = multiprocessing.get_context("spawn")
    for shared in (0.0, options.shared):
        tell(f"{options.topics:,} topics, {shared:.0%} of them at 2 to {MOST_GATEWAYS} gateways")
        with context.Pool(1) as pool:
            rounds.append(pool.apply(one_round, (options, shared)))
    return {
        "of": "the routing table",
        "command": command,
        "options": asdict(options),
        "rounds": rounds,
        "machine": machine(),
        "commit": commit(),
    }


def one_round(options: RoutesOptions, shared: float) -> Json:
    rng = random.Random(7)
    routes, nodes = CompactRoutes(), range(1, options.gateways + 1)
    for node in nodes:
        routes.live(node, EPOCH)
    before, peak, announced = _resident(), 0.0, Stretch()
    for start in range(0, options.topics, BATCH):
        names = _names(start, min(BATCH, options.topics - start))
        announced.time(partial(routes.announce, rng.choice(nodes), EPOCH, names))
        if start >= PEAK_FROM and start % (64 * BATCH) == 0:
            peak = max(peak, (_resident() - before) / (start + BATCH))
    more = Stretch()
    for names in _batches(_shared(options.topics, shared, rng)):
        for node in rng.sample(nodes, min(rng.randrange(1, MOST_GATEWAYS), options.gateways)):
            more.time(partial(routes.announce, node, EPOCH, names))
    held = _resident() - before
    stats = routes.stats()
    many = min(LOOK_UPS, options.topics)
    known = _look_ups(routes, [f"{USER_PREFIX}user-{rng.randrange(options.topics):08}" for _ in range(many)])
    absent = _look_ups(routes, [f"{USER_PREFIX}nobody-{number}" for number in range(many)])
    repeated = _repeat(routes, _names(0, min(options.topics, 1_000_000)))
    expiry, sweep = Stretch(), Stretch()
    expiry.time(lambda: routes.expire(1, EPOCH))
    while sweep.time(routes.work):
        pass
    return {
        "shared": shared,
        "entries": stats["entries"],
        "bytes_a_topic_resident": round(held / options.topics, 2),
        "bytes_a_topic_resident_most": round(max(peak, held / options.topics), 2),
        "bytes_a_topic_table": round(stats["bytes"] / options.topics, 2),
        "announcements_per_cpu_s": round(stats["entries"] / (sum(announced.cpu_s) + sum(more.cpu_s))),
        "look_ups_per_cpu_s": round(known),
        "look_ups_of_nobody_per_cpu_s": round(absent),
        "batches_of_1024": announced.figures(),
        "million_repeated": repeated.figures(),
        "death_of_a_gateway": expiry.figures(),
        "sweep_slices": sweep.figures(),
    }


def _resident() -> int:
    with open("/proc/self/statm") as statm:
        return int(statm.read().split()[1]) * 4096


def _names(start: int, count: int) -> list[str]:
    return [f"{USER_PREFIX}user-{number:08}" for number in range(start, start + count)]


def _shared(topics: int, share: float, rng: random.Random) -> Iterable[str]:
    every = round(1 / share) if share else topics + 1
    return (f"{USER_PREFIX}user-{number:08}" for number in range(every - 1, topics, every))


def _batches(names: Iterable[str]) -> Iterable[list[str]]:
    """As different topics have different gateways: small ones."""
    rest = iter(names)
    while batch := list(islice(rest, 64)):
        yield batch


def _look_ups(routes: CompactRoutes, names: Sequence[str]) -> float:
    gateways, begun = routes.gateways, time.thread_time()
    for name in names:
        gateways(name)
    return len(names) / (time.thread_time() - begun)


def _repeat(routes: CompactRoutes, names: Sequence[str]) -> Stretch:
    """A gateway repeats all it has, in batches."""
    stretch = Stretch()
    stretch.time(lambda: routes.begin(2, EPOCH))
    for start in range(0, len(names), BATCH):
        stretch.time(partial(routes.announce, 2, EPOCH, names[start : start + BATCH]))
    stretch.time(lambda: routes.end(2, EPOCH))
    return stretch
