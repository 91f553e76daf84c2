"""A flood of resumes: flights that were overheard, forged or replayed, while sessions wait for their clients.

The core runs alone. Some clients are in and ping, many have lost their connection and wait; then as many
first flights as are asked for come from processes that know no secret, only what was on the wire. Meanwhile
those who waited come back. Nothing may be taken up but by them, each once, and who was in must not notice.
"""

from __future__ import annotations

import random
import socket
import time
from dataclasses import dataclass
from multiprocessing.connection import Connection

import msgspec

from benchmarks.figures import SUITES, Figure, figure
from benchmarks.loadgen.fleet import FleetError
from benchmarks.loadgen.histogram import Histogram
from benchmarks.scenarios.alone import CoreProcess, Generators, Watch, core_alone
from benchmarks.scenarios.comer import Comer
from benchmarks.scenarios.context import Context

BOUND_MS = 1000.0
PATIENCE_S = 10.0
PING_EVERY_S = 0.005
OVERHEARD = 16  # flights of each kind that the flood sends again and again
KINDS = ("used", "unproven", "forged", "without_psk")


@dataclass(frozen=True, slots=True)
class FloodOptions:
    flights: int = 100_000
    parked: int = 1_000
    live: int = 50
    suite: str = "aegis128l"
    generators: int = 2

    @property
    def share(self) -> int:
        """Of a generator: as many of each kind."""
        return self.flights // self.generators // len(KINDS) * len(KINDS)


class Counts(msgspec.Struct):
    """Of the core's counters, and `live` ones."""

    resumed: int
    reject_ticket: int
    handshakes: int
    handshakes_failed: int
    admitted_known: int
    ticket_logins: int
    logins: int
    live: dict[str, int]


def pour(pipe: Connection, port: int, flights: list[bytes], count: int) -> None:
    """Send them in turn, each on a connection of its own; wait for the answer's first byte, or the end."""
    pipe.recv()
    answered = 0
    for n in range(count):
        with socket.socket() as sock:
            sock.settimeout(PATIENCE_S)
            sock.connect(("127.0.0.1", port))
            sock.sendall(flights[n % len(flights)])
            try:
                answered += len(sock.recv(1))
            except ConnectionResetError:
                continue
    pipe.send(answered)


def counts_of(core: CoreProcess) -> Counts:
    return core.stats(Counts)


def await_live(core: CoreProcess, name: str, count: int) -> None:
    until = time.monotonic() + PATIENCE_S
    while counts_of(core).live[name] != count:
        if time.monotonic() > until:
            raise FleetError(f"{name} are {counts_of(core).live[name]}, not {count}")
        time.sleep(0.01)


def overhear(comers: list[Comer], rng: random.Random) -> dict[str, list[bytes]]:
    """What a stranger has of these: flights that led to a session, that were cut, and what it makes of it."""
    found: dict[str, list[bytes]] = {kind: [] for kind in KINDS}
    for comer in comers:
        comer.come_back("resume")
        found["used"].append(comer.flight)
        comer.vanish()
        comer.knock("resume")
        found["unproven"].append(comer.flight)
        comer.vanish()
        flight = bytearray(comer.flight)
        flight[rng.randrange(16, 110)] ^= 1 << rng.randrange(8)  # of the ticket
        found["forged"].append(bytes(flight))
        flight = bytearray(comer.flight)
        flight[-48:] = rng.randbytes(48)  # a true ticket, and no idea what it seals
        found["without_psk"].append(bytes(flight))
    return found


def judge(seen: Counts, before: Counts, options: FloodOptions, took: int) -> None:
    """Raises FleetError where something was taken that should not be."""

    def grew(name: str) -> int:
        return int(getattr(seen, name)) - int(getattr(before, name))

    each = options.share * options.generators // len(KINDS)
    wanted = {
        "resumed": took,
        "reject_ticket": each,
        "handshakes_failed": each,
        "handshakes": 2 * each + took,
        "admitted_known": len(KINDS) * each + took,
        "ticket_logins": 0,
        "logins": 0,
    }
    wrong = [f"{name} {grew(name)}, not {n}" for name, n in wanted.items() if grew(name) != n]
    if seen.live["sessions"] != options.live + options.parked or seen.live["parked"]:
        wrong.append(f"live: {seen.live}")
    if wrong:
        raise FleetError("the flood left its mark: " + ", ".join(wrong))


def run_flood(context: Context, options: FloodOptions) -> Figure:
    """One figure: the pings of those who are in, and what a flight of the flood costs the server."""
    rng = random.Random(7)
    suite, taken, pings = SUITES[options.suite], Histogram(), Histogram()
    with core_alone() as core:
        where = core.where
        address = (where["port"], where["key_id"], bytes.fromhex(where["server_key"]), suite)
        live = [Comer(*address, f"live{n}") for n in range(options.live)]
        away = [Comer(*address, f"away{n}") for n in range(options.parked)]
        context.say(f"{options.live} are in, {options.parked} lose their connection")
        for comer in (*live, *away):
            comer.log_in()
        heard = overhear(away[:OVERHEARD], rng)
        for comer in away:
            comer.vanish()
        await_live(core, "parked", options.parked)
        before = counts_of(core)
        flights = [heard[kind][n] for n in range(len(heard["used"])) for kind in KINDS]
        generators = Generators(pour, options.generators * [(where["port"], flights, options.share)])
        context.say(f"{options.flights} first flights of strangers")
        watch = Watch(core)
        generators.go()
        took = meanwhile(generators.pipes, live, away, pings, taken)
        generators.told(int)
        spent = watch.spent()
        for comer in live:
            comer.ping()
        judge(counts_of(core), before, options, took)
    n = options.share * options.generators
    return figure(
        "flood",
        context.command,
        connections=options.live + options.parked,
        size=0,
        suite=options.suite,
        measured=spent.measured(n, []),
        server=spent.server(),
        bound_ms=BOUND_MS,
        latency=pings,
        parked=options.parked,
        resumed=took,
        resume_ms={"p50": taken.percentile(50) / 1000, "p99": taken.percentile(99) / 1000},
        server_us=round(spent.cpu_s / n * 1e6, 1),
    )


def meanwhile(
    pipes: list[Connection], live: list[Comer], away: list[Comer], pings: Histogram, taken: Histogram
) -> int:
    """Until the flood is over: one who is in pings, one who was away comes back. How many did."""
    n, back = 0, 0
    while back < len(away) or not all(pipe.poll() for pipe in pipes):
        began = time.monotonic()
        live[n % len(live)].ping()
        pings.record(round((time.monotonic() - began) * 1e6))
        if back < len(away):
            began = time.monotonic()
            away[back].come_back("resume")
            taken.record(round((time.monotonic() - began) * 1e6))
            back += 1
        n += 1
        time.sleep(PING_EVERY_S)
    return back
