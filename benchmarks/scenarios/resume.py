"""Coming back: clients that lost their connection take their session up again, as fast as they are answered.

The core runs alone, because a resume asks nobody else. A login by ticket and one by token stand beside it;
there the core alone believes everybody, so that the check of a token is not in the figure. Clients are plain
sockets in processes of their own, one after another in each: what is measured is the server's CPU for each
that came back, so `per_server_core_per_s` divides by its CPU seconds.
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
from benchmarks.machine import cpu_seconds
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
        comers[len(taken) % count].come_back(options.way)
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
        before, began = cpu_seconds(server.pid), time.monotonic()
        for pipe in pipes:
            pipe.send(None)
        for pipe in pipes:
            taken, cpu = pipe.recv()
            spent.append(cpu)
            done += len(taken)
            for seconds in taken:
                latency.record(round(seconds * 1e6))
        span, used = time.monotonic() - began, cpu_seconds(server.pid) - before
        for process in processes:
            process.join()
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
        came_back=done,
        per_server_core_per_s=round(done / used, 1) if used else 0.0,
    )
