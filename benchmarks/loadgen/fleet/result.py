"""From the answers of all processes to one measurement."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from benchmarks.loadgen.fleet.shape import Answer, Counters, Load, Measured
from benchmarks.loadgen.histogram import Histogram


def here(seen: Counters) -> int:
    """Clients logged in now."""
    return seen["live"] - seen["closed"] - seen["deaf_closed"]


def as_many_here(count: int, seen: Counters) -> bool:
    return here(seen) >= count


def summed(answers: Sequence[Answer]) -> Counters:
    """Counters of all processes together; of codes the highest."""
    total: Counters = {"busy": 0, "sending": 0}
    for answer in answers:
        total["busy"] += answer["busy"]
        total["sending"] += answer["sending"]
        for name, value in answer["counters"].items():
            total[name] = (
                max(total.get(name, 0), value) if name.endswith("_code") else total.get(name, 0) + value
            )
    return total


def measured(
    load: Load,
    before: Counters,
    seen: Counters,
    edges: tuple[Sequence[Answer], Sequence[Answer]],
    listeners: int,
    hist: Mapping[str, Histogram],
) -> Measured:
    """`edges`: every process's status when the window opened and when it closed."""
    gone = {name: seen[name] - before[name] for name in seen}
    span = [(b["at"] - a["at"]) / 1e9 for a, b in zip(*edges, strict=True)]
    cpu = [
        (b["counters"]["cpu_ns"] - a["counters"]["cpu_ns"]) / 1e9 / s * load.seconds
        for a, b, s in zip(*edges, span, strict=True)
    ]
    records = gone["window_records"]
    bytes_in, came = (
        sum(b["counters"][name] - a["counters"][name] for a, b in zip(*edges, strict=True))
        for name in ("bytes_in", "arrived")
    )
    return Measured(
        seconds=load.seconds,
        offered_per_s=load.rate * listeners,
        throughput_per_s=gone["in_window"] / load.seconds,
        k_mean=gone["in_window"] / records if records else 0.0,
        bytes_each=bytes_in / came if came else 0.0,
        sent=gone["sent"],
        acked_per_s=gone["acked_in_window"] / load.seconds,
        lost=gone["sent"] * listeners - gone["tracked"],
        reordered=gone["reordered"],
        duplicated=gone["duplicated"],
        foreign=gone["foreign"],
        refused=gone["refused"],
        refusal_code=seen["refusal_code"],
        closed=gone["closed"],
        delivery=hist["delivery"],
        ack=hist["ack"],
        lag=hist["lag"],
        turn=hist["turn"],
        cpu_s=cpu,
        counters=gone,
    )
