"""The workloads, and what befalls the network meanwhile. Each phone has a mate on the good line; what they
say to each other passes the phone's link once.
"""

from __future__ import annotations

import asyncio
import itertools
import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from benchmarks.weaknet.ledger import Drop, Ledger
from benchmarks.weaknet.network import Network
from benchmarks.weaknet.profiles import Profile
from benchmarks.weaknet.system import Person, System, body

SIZES = (64, 256, 1024)
QUEUED = 5
AWAY_S = 1.0
PROBE_S = 0.1
POLL_S = 0.05
LOOK_S = 0.5
ROOM = "hall"


@dataclass(slots=True)
class Pair:
    """`number` is the phone's, from 1."""

    number: int
    phone: Person
    mate: Person


@dataclass(slots=True)
class Stage:
    """A run under way."""

    network: Network
    system: System
    pairs: list[Pair]
    ledger: Ledger
    rng: random.Random
    seconds: float
    settle_s: float
    profiles: dict[str, Profile]
    drops: list[Drop] = field(default_factory=list)
    found_dead: list[float] = field(default_factory=list)
    """seconds from a fault until the phone gave its connection up"""
    dropped: list[float] = field(default_factory=list)
    """seconds from a fault until the server did"""
    intervals: list[tuple[float, float]] = field(default_factory=list)
    """the first phone's heartbeat interval over time"""
    began: float = 0.0
    names: itertools.count[int] = field(default_factory=itertools.count)

    def now(self) -> float:
        return time.monotonic()

    @property
    def ends(self) -> float:
        return self.began + self.seconds

    def tell(self, one: Person, other: Person, size: int, due: float | None = None) -> str:
        """One says something to the other. Returns the name of the message."""
        name = f"{one.user}-{next(self.names)}"
        self.ledger.sent(name, self.now() if due is None else due, size)
        one.send(other.user, body(name, size))
        return name


async def until(true: Callable[[], bool], within_s: float) -> bool:
    """Whether it came to be true in that time."""
    deadline = time.monotonic() + within_s
    while not true():
        if time.monotonic() >= deadline:
            return False
        await asyncio.sleep(POLL_S / 5)
    return True


async def wait_until(due: float) -> None:
    await asyncio.sleep(max(0.0, due - time.monotonic()))


# workloads


async def chat(stage: Stage, pair: Pair) -> None:
    """W1: each says something to the other once a second, whatever happened to what was said before."""
    phase = stage.rng.random()
    for n in range(int(stage.seconds)):
        due = stage.began + phase + n
        await wait_until(due)
        stage.tell(pair.mate, pair.phone, SIZES[n % 3], due)
        stage.tell(pair.phone, pair.mate, SIZES[n % 3], due)


async def push(stage: Stage, pair: Pair) -> None:
    """W3: a phone that says nothing, and is told something now and then."""
    longest = max(3.0, max(stage.network.profile.nat_timeouts_s, default=0.0) * 1.5)
    due = stage.began
    while (due := due + stage.rng.uniform(longest / 10, longest)) < stage.ends:
        await wait_until(due)
        stage.tell(pair.mate, pair.phone, SIZES[0], due)


async def come_back(stage: Stage, pair: Pair) -> None:
    """W4: the network goes away without a word, some messages wait at each end, and another network comes."""
    every_s = max(4.0, 8 * stage.network.profile.round_trip_s)
    due = stage.began + stage.rng.random() * every_s
    while due < stage.ends:
        await wait_until(due)
        stage.drops.append(await one_drop(stage, pair))
        due = max(due + every_s, stage.now() + 1.0)


async def one_drop(stage: Stage, pair: Pair) -> Drop:
    """Where what waits may be lost, the mate goes on saying something until it is heard."""
    network, number = stage.network, pair.number
    network.gate(down=False, up=False, phone=number)
    network.cut(number)
    waiting = [stage.tell(pair.mate, pair.phone, SIZES[0]) for _ in range(QUEUED)]
    there = [stage.tell(pair.phone, pair.mate, SIZES[0]) for _ in range(QUEUED)]
    await asyncio.sleep(AWAY_S)
    network.gate(down=True, up=True, phone=number)
    back = stage.now()
    drop = Drop()
    probes: list[str] = []
    seen = pair.phone.watch.logins

    def came(online: bool) -> None:
        if online and drop.online_s is None and pair.phone.watch.logins > seen:
            drop.online_s = stage.now() - back

    pair.phone.watch.changed.append(came)
    pair.phone.network_changed()
    while len(stage.ledger.missing(waiting)) == len(waiting) and stage.now() < back + stage.settle_s:
        if await until(lambda: len(stage.ledger.missing(waiting + probes)) < len(waiting + probes), PROBE_S):
            break
        if not stage.system.holds:
            probes.append(stage.tell(pair.mate, pair.phone, SIZES[0]))
            stage.ledger.probes.add(probes[-1])
    arrived = [stage.ledger.came[name] for name in waiting + probes if name in stage.ledger.came]
    if arrived:
        drop.first_s = min(arrived) - back
    if await until(lambda: not stage.ledger.missing(waiting + there), stage.settle_s / 4):
        drop.all_s = max(stage.ledger.came[name] for name in waiting + there) - back
    pair.phone.watch.changed.remove(came)
    return drop


async def hall(stage: Stage) -> None:
    """W2: one says something in a room once a second; every phone hears it."""
    await asyncio.gather(*(person.join(ROOM) for pair in stage.pairs for person in (pair.phone,)))
    speaker = stage.pairs[0].mate
    await speaker.join(ROOM)
    stage.began = stage.now()
    for n in range(int(stage.seconds)):
        due = stage.began + n
        await wait_until(due)
        name = f"hall-{n}"
        for pair in stage.pairs:
            stage.ledger.sent(f"{name}>{pair.phone.user}", due, SIZES[0])
        speaker.say(ROOM, body(name, SIZES[0]))


# faults


async def trouble(stage: Stage) -> None:
    """What the profile has for its network, until the load ends."""
    profile = stage.network.profile
    if profile.nat_timeouts_s:
        await nat(stage, profile.nat_timeouts_s)
    if (fault := profile.fault) is None:
        return
    every_s = min(fault.every_s, max(stage.seconds / 2, 6.0))
    lines = itertools.cycle((profile.then, profile.key))
    for n, for_s in enumerate(itertools.cycle(fault.for_s)):
        due = stage.began + every_s * (n + 0.5)
        lasts = min(for_s, every_s * 0.75)
        if due + lasts >= stage.ends:
            return
        await wait_until(due)
        await FAULTS[fault.kind](stage, lasts, next(lines))


async def nat(stage: Stage, timeouts: tuple[float, ...]) -> None:
    for n, timeout in enumerate(timeouts):
        await wait_until(stage.began + stage.seconds * n / len(timeouts))
        stage.network.forget_after(timeout)


async def watch_interval(stage: Stage) -> None:
    while stage.now() < stage.ends:
        stage.intervals.append((round(stage.now() - stage.began, 1), stage.pairs[0].phone.interval_s))
        await asyncio.sleep(1.0)


async def shut(stage: Stage, for_s: float, *, down: bool, up: bool) -> None:
    """The gate, and who notices."""
    deaths = {pair.number: pair.phone.watch.deaths for pair in stage.pairs}
    first = stage.pairs[0].number
    before = stage.network.established(first)
    stage.network.gate(down=down, up=up)
    began = looked = stage.now()
    noticed = False
    while stage.now() < began + for_s:
        await asyncio.sleep(POLL_S)
        for pair in stage.pairs:
            if pair.number in deaths and pair.phone.watch.deaths > deaths[pair.number]:
                del deaths[pair.number]
                stage.found_dead.append(stage.now() - began)
        if noticed or not before or stage.now() < looked + LOOK_S:
            continue
        looked = stage.now()
        if await asyncio.to_thread(stage.network.established, first) < before:
            noticed = True
            stage.dropped.append(stage.now() - began)
    stage.network.gate(down=True, up=True)


async def blackout(stage: Stage, for_s: float, _: str) -> None:
    await shut(stage, for_s, down=False, up=False)


async def deaf(stage: Stage, for_s: float, _: str) -> None:
    await shut(stage, for_s, down=False, up=True)


async def mute(stage: Stage, for_s: float, _: str) -> None:
    await shut(stage, for_s, down=True, up=False)


async def address(stage: Stage, for_s: float, lines: str) -> None:
    stage.network.gate(down=False, up=False)
    await asyncio.sleep(for_s)
    stage.network.move()
    if lines:
        stage.network.lines(stage.profiles[lines].down, stage.profiles[lines].up)
    stage.network.gate(down=True, up=True)
    for pair in stage.pairs:
        pair.phone.network_changed()


async def restart(stage: Stage, for_s: float, _: str) -> None:
    def again() -> None:
        with stage.network.inside("server"):
            stage.system.kill_and_start(for_s)

    await asyncio.to_thread(again)


FAULTS = {"blackout": blackout, "deaf": deaf, "mute": mute, "address": address, "restart": restart}
