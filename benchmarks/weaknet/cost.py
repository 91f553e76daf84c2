"""What things cost in bytes and packets on the wire, IP and TCP headers included: one phone, nobody else."""

from __future__ import annotations

import asyncio
import statistics
from dataclasses import dataclass
from functools import partial

from benchmarks.weaknet.work import Pair, Stage, until

MESSAGES = 10
APART_S = 0.3
QUIET_S = 1.0
WAIT_S = 30.0
BEATS = 7


@dataclass(frozen=True, slots=True)
class Cost:
    """Both directions together."""

    bytes: float
    packets: float

    def __sub__(self, other: Cost) -> Cost:
        return Cost(self.bytes - other.bytes, self.packets - other.packets)

    def each(self, count: float) -> Cost:
        return Cost(round(self.bytes / count, 1), round(self.packets / count, 2))


def so_far(stage: Stage, pair: Pair) -> Cost:
    counts = stage.network.counts().get(pair.number)
    if counts is None:
        return Cost(0, 0)
    return Cost(counts.down.bytes + counts.up.bytes, counts.down.packets + counts.up.packets)


def there(stage: Stage, names: list[str]) -> bool:
    return not stage.ledger.missing(names)


async def weigh(stage: Stage, pair: Pair) -> dict[str, Cost]:
    """Of a first connect, a return, messages of 64 and 256 characters each way, and an hour of heartbeats."""
    found: dict[str, Cost] = {}
    at = so_far(stage, pair)

    async def done(name: str, count: float = 1.0) -> None:
        nonlocal at
        await asyncio.sleep(QUIET_S)
        now = so_far(stage, pair)
        found[name] = (now - at).each(count)
        at = now

    await pair.phone.open()
    await done("connect")
    logins = pair.phone.watch.logins
    stage.network.cut(pair.number)
    pair.phone.network_changed()
    await until(lambda: pair.phone.watch.logins > logins and pair.phone.watch.online, WAIT_S)
    await done("return")
    for size in (64, 256):
        for way, one, other in (("up", pair.phone, pair.mate), ("down", pair.mate, pair.phone)):
            names = []
            for _ in range(MESSAGES):
                names.append(stage.tell(one, other, size))
                await asyncio.sleep(APART_S)
            await until(partial(there, stage, names), WAIT_S)
            await done(f"message {way}, {size}", MESSAGES)
    found["heartbeats, an hour"] = await _beats(stage, pair)
    return found


async def _beats(stage: Stage, pair: Pair) -> Cost:
    """An hour at the usual interval, by the beat in the middle of some: what else is said now and then, like
    how far somebody has read, is no heartbeat.
    """
    times, costs = [], []
    await _next_beat(stage, pair)
    for _ in range(BEATS):
        began, before = stage.now(), so_far(stage, pair)
        await _next_beat(stage, pair)
        times.append(stage.now() - began)
        costs.append(so_far(stage, pair) - before)
    middle = Cost(statistics.median(c.bytes for c in costs), statistics.median(c.packets for c in costs))
    share = statistics.median(times) / stage.system.interval_s  # clients come a little early
    return middle.each(share * stage.system.beat_s / 3600)


async def _next_beat(stage: Stage, pair: Pair) -> None:
    before = so_far(stage, pair)
    await until(lambda: so_far(stage, pair) != before, 3 * stage.system.interval_s)
    await asyncio.sleep(QUIET_S)
