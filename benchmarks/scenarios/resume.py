"""Coming back: clients that lost their connection take their session up again, as fast as they are answered.

The core runs alone, because a resume asks nobody else. A login by ticket and one by token stand beside it;
there the core alone believes everybody, so that the check of a token is not in the figure. Clients are plain
sockets in processes of their own, some together in each: all of those knock, then all enter, then all hear
that they are in, so that the server finds several at a time as in a storm. What is measured is the server's
CPU for each that came back: `per_server_core_per_s` divides by all of it, `loop_us` and `python_us` tell the
loop's thread, which does everything of a resume, from the one that takes its events.
"""

from __future__ import annotations

import json
import multiprocessing
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import TypedDict

from benchmarks.figures import SUITES, Figure, ServerReport, figure
from benchmarks.loadgen.fleet import Measured
from benchmarks.loadgen.histogram import Histogram
from benchmarks.machine import thread_seconds
from benchmarks.scenarios.comer import Comer
from benchmarks.scenarios.context import Context

BOUND_MS = 1000.0
LOOP = "qw-loop"  # what threads of loops are named
WAYS = ("resume", "lite", "ticket", "token")


@dataclass(frozen=True, slots=True)
class ResumeOptions:
    way: str = "resume"  # one of WAYS
    clients: int = 256  # sessions that come back in turn
    seconds: float = 10.0
    suite: str = "aegis128l"
    generators: int = 1
    together: int = 16  # of one generator


class Where(TypedDict):
    """Where the server is, as core_alone tells it. `server_key`: hexadecimal."""

    port: int
    key_id: int
    server_key: str


@contextmanager
def core_alone() -> Iterator[tuple[subprocess.Popen[str], Where]]:
    command = [sys.executable, "-m", "benchmarks.core_alone", "--tickets"]
    command += ["--config", json.dumps({"ip_accepts_per_s": 0, "loops": 1})]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            yield process, json.loads(process.stdout.readline())
        finally:
            process.stdin.close()


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
    latency, spent, done = Histogram(), [], 0
    with core_alone() as (server, where):
        spawn = multiprocessing.get_context("spawn")
        pipes, processes = [], []
        for n in range(options.generators):
            here, there = spawn.Pipe()
            process = spawn.Process(target=generate, args=(there, where, options, n * options.clients))
            process.start()
            pipes.append(here)
            processes.append(process)
        for pipe in pipes:
            pipe.recv()
        context.say(f"coming back by {options.way}")
        before, began = thread_seconds(server.pid), time.monotonic()
        for pipe in pipes:
            pipe.send(None)
        for pipe in pipes:
            taken, cpu = pipe.recv()
            spent.append(cpu)
            done += len(taken)
            for seconds in taken:
                latency.record(round(seconds * 1e6))
        span, after = time.monotonic() - began, thread_seconds(server.pid)
        for process in processes:
            process.join()
    loop = sum(after[name] - before.get(name, 0.0) for name in after if name.startswith(LOOP))
    used = sum(after.values()) - sum(before.values())
    empty = Histogram()
    measured = Measured(
        span, done / span, done / span, 0.0, done, 0.0, 0, 0, 0, 0, 0, 0, 0, empty, empty, empty, empty, spent
    )
    return figure(
        "resume",
        context.command,
        connections=options.clients,
        size=0,
        suite=options.suite,
        measured=measured,
        server=ServerReport(processes=1, cpu_s=used, seconds=span),
        bound_ms=BOUND_MS,
        latency=latency,
        way=options.way,
        together=options.together,
        loop_us=round(loop / max(done, 1) * 1e6, 1),
        python_us=round((used - loop) / max(done, 1) * 1e6, 1),
        came_back=done,
        per_server_core_per_s=round(done / used, 1) if used else 0.0,
    )
