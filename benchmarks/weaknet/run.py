"""One run: a profile, a workload, a system. Then the checks that decide whether it counts as passed."""

from __future__ import annotations

import asyncio
import random
import socket
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import partial

from benchmarks.figures import Figure
from benchmarks.weaknet.cost import weigh
from benchmarks.weaknet.ledger import Ledger, percentiles
from benchmarks.weaknet.network import GOOD, Network
from benchmarks.weaknet.profiles import Profile
from benchmarks.weaknet.system import System, Watch
from benchmarks.weaknet.work import (
    Pair,
    Stage,
    chat,
    come_back,
    hall,
    push,
    trouble,
    until,
    watch_interval,
)

WORKLOADS = {"W0": "cost", "W1": "chat", "W2": "room", "W3": "push", "W4": "returns"}
MAY_LOSE = ("W2",)
"""What is said in a room is for those who are there."""
MATRIX = {
    "P0": ("W0", "W1", "W2"),
    **{f"P{n}": ("W1", "W4") for n in (1, 2, 3, 4, 5, 6, "6b", 7)},
    **dict.fromkeys(("P8", "P9", "P11", "P12"), ("W1",)),
    "P10": ("W3",),
}
"""Which workloads say something of which network."""
COUNTED = ("sent", "delivered", "lost", "doubled", "drops", "never_first", "returns", "resumed", "deaths")
SETTLE_S = 60.0
TEST_INTERVAL_S = 5.0  # of heartbeats where seconds stand for more
BULK_PORT = 9009


@dataclass(frozen=True, slots=True)
class WeakOptions:
    """`phones` 0: as many as the workload usually has."""

    phones: int = 0
    seconds: float = 60.0
    seed: int = 0
    settle_s: float = SETTLE_S


def run_one(
    profiles: dict[str, Profile], key: str, workload: str, kind: type[System], options: WeakOptions
) -> Figure:
    """Raises NetworkRefused where networks cannot be made."""
    profile = profiles[key]
    if options.seed:
        profile = profile.with_seed(options.seed)
    short = workload in ("W0", "W3")
    with Network(profile) as network:
        with network.inside("server"):
            system = kind(TEST_INTERVAL_S if short else kind.beat_s).__enter__()
        try:
            with network.inside("phones"):
                stage = asyncio.run(_run(network, system, profiles, workload, options))
        finally:
            system.__exit__(None, None, None)
        return _row(stage[0], stage[1], workload)


async def _run(
    network: Network, system: System, profiles: dict[str, Profile], workload: str, options: WeakOptions
) -> tuple[Stage, Figure]:
    ledger = Ledger()
    usual = {"W0": 1, "W2": 50}.get(workload, 10)
    count = usual if workload == "W0" or not options.phones else options.phones
    in_room = workload == "W2"
    pairs = [
        Pair(
            n,
            system.person(
                f"phone{n}",
                network.address(n),
                Watch(partial(_heard_by, ledger, f"phone{n}") if in_room else ledger.arrived),
                searches=bool(network.profile.nat_timeouts_s),
            ),
            system.person(f"mate{n}", GOOD, Watch(ledger.arrived)),
        )
        for n in range(1, count + 1)
    ]
    rng = random.Random(network.profile.seed)
    stage = Stage(network, system, pairs, ledger, rng, options.seconds, options.settle_s, profiles)
    await asyncio.gather(*(pair.mate.open() for pair in pairs))
    more: Figure = {}
    try:
        if workload == "W0":
            more["cost"] = {name: asdict(cost) for name, cost in (await weigh(stage, pairs[0])).items()}
        else:
            await asyncio.gather(*(pair.phone.open() for pair in pairs))
            await _load(stage, workload)
        await until(lambda: not ledger.missing(), options.settle_s)
    finally:
        people = [person for pair in pairs for person in (pair.phone, pair.mate)]
        for person in people:
            person.watch.over = True
        await asyncio.gather(*(person.close() for person in people), return_exceptions=True)
    return stage, more


def _heard_by(ledger: Ledger, user: str, name: str) -> None:
    ledger.arrived(f"{name}>{user}")


async def _load(stage: Stage, workload: str) -> None:
    stage.began = stage.now() + 0.2
    works = {"W1": chat, "W3": push, "W4": come_back}
    async with asyncio.TaskGroup() as group:
        if workload == "W2":
            group.create_task(hall(stage))
        else:
            for pair in stage.pairs:
                group.create_task(works[workload](stage, pair))
        group.create_task(trouble(stage))
        group.create_task(watch_interval(stage))
        if stage.network.profile.bulk:
            uploads = [asyncio.ensure_future(_upload(stage, pair)) for pair in stage.pairs]
            group.create_task(_end(stage, uploads))


async def _end(stage: Stage, tasks: Sequence[asyncio.Task[None]]) -> None:
    await asyncio.sleep(stage.ends - stage.now())
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def _upload(stage: Stage, pair: Pair) -> None:
    """A bulk flow of the phone's own; by Cubic, which fills any queue, as most phones do."""
    with stage.network.inside("server"):
        sink = socket.create_server((stage.network.address(pair.number), BULK_PORT))
    server = await asyncio.get_running_loop().create_server(
        asyncio.Protocol, sock=sink
    )  # reads, says nothing
    writer = None
    try:
        raw = socket.socket()
        raw.setblocking(False)
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, b"cubic")
        await asyncio.get_running_loop().sock_connect(raw, (stage.network.address(pair.number), BULK_PORT))
        _, writer = await asyncio.open_connection(sock=raw)
        while True:
            writer.write(bytes(1 << 14))
            await writer.drain()
    finally:
        if writer is not None:
            writer.transport.abort()
        server.close()


def _row(stage: Stage, more: Figure, workload: str) -> Figure:
    ledger, profile = stage.ledger, stage.network.profile
    watches = [pair.phone.watch for pair in stage.pairs]
    counts = stage.network.counts().values()
    drops = stage.drops
    returns = sum(watch.logins - 1 for watch in watches)
    lost = len(ledger.missing())
    return {
        "profile": profile.key,
        "network": profile.name,
        "workload": workload,
        "system": stage.system.name,
        "phones": len(stage.pairs),
        "seconds": stage.seconds,
        "seed": profile.seed,
        "round_trip_ms": round(profile.round_trip_s * 1000),
        "sent": len(ledger.due.keys() - ledger.probes),
        "delivered": len(ledger.came.keys() - ledger.probes),
        "lost": lost,
        "doubled": ledger.doubled,
        "latency_ms": percentiles(ledger.latency()),
        "drops": len(drops),
        "first_ms": percentiles([drop.first_s for drop in drops if drop.first_s is not None]),
        "online_ms": percentiles([drop.online_s for drop in drops if drop.online_s is not None]),
        "all_ms": percentiles([drop.all_s for drop in drops if drop.all_s is not None]),
        "never_first": sum(drop.first_s is None for drop in drops),
        "returns": returns,
        "resumed": sum(watch.resumed for watch in watches),
        "deaths": sum(watch.deaths for watch in watches),
        "client_noticed_ms": percentiles(stage.found_dead),
        "server_noticed_ms": percentiles(stage.dropped),
        "packets": sum(one.down.packets + one.up.packets for one in counts),
        "bytes": sum(one.down.bytes + one.up.bytes for one in counts),
        "payload_bytes": ledger.bytes_sent,
        "interval_s": stage.intervals[-1][1] if stage.intervals else 0.0,
        "intervals": stage.intervals if profile.nat_timeouts_s else [],
        "passed": not stage.system.keeps or not (ledger.doubled or (lost and workload not in MAY_LOSE)),
        **more,
    }  # fmt: skip


def median_row(rows: Sequence[Figure]) -> Figure:
    """Of runs with several seeds: the one whose median of the first message, else latency, is in the middle;
    with what all of them had beside it. What is counted is of all together."""

    def rank(row: Figure) -> float:
        return float(row["first_ms"]["p50"] or row["latency_ms"]["p50"])

    ordered = sorted(rows, key=rank)
    middle = ordered[(len(ordered) - 1) // 2]
    return {
        **middle,
        "runs": [rank(row) for row in rows],
        "spread_ms": round(statistics.pstdev([rank(row) for row in rows]), 1),
        **{name: sum(row[name] for row in rows) for name in COUNTED},
        "passed": all(row["passed"] for row in rows),
    }
