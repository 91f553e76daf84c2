"""Coming back: clients that lost their connection take their session up again, as fast as they are answered.

The core runs alone, because a resume asks nobody else. A login by ticket and one by token stand beside it;
there the core alone believes everybody, so that the check of a token is not in the figure. Clients are plain
sockets in processes of their own, some together in each: all of those knock, then all enter, then all hear
that they are in, so that the server finds several at a time as in a storm. What is measured is the server's
CPU for each that came back: `per_server_core_per_s` divides by all of it, `loop_us` and `python_us` tell the
loop's thread, which does everything of a resume, from the one that takes its events.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from multiprocessing.connection import Connection

from benchmarks.figures import SUITES, Figure, figure
from benchmarks.loadgen.histogram import Histogram
from benchmarks.scenarios.alone import Generators, Watch, Where, core_alone
from benchmarks.scenarios.comer import Comer
from benchmarks.scenarios.context import Context

BOUND_MS = 1000.0
WAYS = ("resume", "lite", "ticket", "token")


@dataclass(frozen=True, slots=True)
class ResumeOptions:
    way: str = "resume"  # one of WAYS
    clients: int = 256  # sessions that come back in turn
    seconds: float = 10.0
    suite: str = "aegis128l"
    generators: int = 1
    together: int = 16  # of one generator


def generate(pipe: Connection, where: Where, options: ResumeOptions, first: int) -> None:
    """Log in, say so, wait for the word, come back until the time is over; tell how often and how fast."""
    suite = SUITES[options.suite]
    key = bytes.fromhex(where["server_key"])
    count = max(1, options.clients // options.generators)
    comers = [Comer(where["port"], where["key_id"], key, suite, f"b{first + n}") for n in range(count)]
    for comer in comers:
        comer.log_in()
        comer.come_back(options.way)
    pipe.send(None)
    pipe.recv()
    taken: list[float] = []
    began, cpu = time.monotonic(), time.process_time()
    while (now := time.monotonic()) - began < options.seconds:
        some = [comers[(len(taken) + n) % count] for n in range(min(count, options.together))]
        for comer in some:
            comer.knock(options.way)
        for comer in some:
            comer.enter()
        for comer in some:
            comer.settle()
            taken.append(time.monotonic() - now)
    pipe.send((taken, time.process_time() - cpu))


def run_resume(context: Context, options: ResumeOptions) -> Figure:
    """One figure of one way to come back."""
    latency, cpu, done = Histogram(), [], 0
    with core_alone() as core:
        own = [(core.where, options, n * options.clients) for n in range(options.generators)]
        generators = Generators(generate, own)
        for pipe in generators.pipes:
            pipe.recv()  # its clients have logged in
        context.say(f"coming back by {options.way}")
        watch = Watch(core)
        generators.go()
        for taken, used in generators.told(tuple[list[float], float]):
            cpu.append(used)
            done += len(taken)
            for seconds in taken:
                latency.record(round(seconds * 1e6))
        spent = watch.spent()
    return figure(
        "resume",
        context.command,
        connections=options.clients,
        size=0,
        suite=options.suite,
        measured=spent.measured(done, cpu),
        server=spent.server(),
        bound_ms=BOUND_MS,
        latency=latency,
        way=options.way,
        together=options.together,
        loop_us=round(spent.loop_s / max(done, 1) * 1e6, 1),
        python_us=round(spent.others_s / max(done, 1) * 1e6, 1),
        came_back=done,
        per_server_core_per_s=round(done / spent.cpu_s, 1) if spent.cpu_s else 0.0,
    )
