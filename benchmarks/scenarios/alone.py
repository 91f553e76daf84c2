"""What `resume` and `flood` share: the core alone in a process, generators in others, and what the server
spent while they worked.
"""

from __future__ import annotations

import json
import multiprocessing
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import TypedDict, TypeVar

import msgspec

from benchmarks.figures import ServerReport
from benchmarks.loadgen.fleet import Measured
from benchmarks.loadgen.histogram import Histogram
from benchmarks.machine import thread_seconds

LOOP = "qw-loop"  # what threads of loops are named
T = TypeVar("T")


class Stage(msgspec.Struct):
    ns: int
    count: int


class Stages(msgspec.Struct):
    stages: dict[str, Stage]


class Where(TypedDict):
    """Where the server is, as core_alone tells it. `server_key`: hexadecimal."""

    port: int
    key_id: int
    server_key: str


class CoreProcess:
    """A core that runs alone (benchmarks.core_alone)."""

    def __init__(self, popen: subprocess.Popen[str]) -> None:
        assert popen.stdin is not None
        assert popen.stdout is not None
        self._stdin, self._stdout = popen.stdin, popen.stdout
        self.pid = popen.pid
        self.where: Where = json.loads(self._stdout.readline())

    def stats(self, kind: type[T]) -> T:
        """What `kind` names of the core's counters, `live` ones, and `stages`."""
        self._stdin.write("stats\n")
        self._stdin.flush()
        return msgspec.json.decode(self._stdout.readline(), type=kind)

    def end(self) -> None:
        self._stdin.close()


@contextmanager
def core_alone() -> Iterator[CoreProcess]:
    command = [sys.executable, "-m", "benchmarks.core_alone", "--tickets"]
    command += ["--config", json.dumps({"ip_accepts_per_s": 0, "loops": 1})]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as popen:
        core = CoreProcess(popen)
        try:
            yield core
        finally:
            core.end()


class Generators:
    """Processes that begin together: each runs `target` with its end of a pipe and what is its own, and waits
    for a word on that before it works.
    """

    def __init__(self, target: Callable[..., None], each: Sequence[tuple[object, ...]]) -> None:
        spawn = multiprocessing.get_context("spawn")
        self.pipes: list[Connection] = []
        self._processes: list[BaseProcess] = []
        for own in each:
            here, there = spawn.Pipe()
            process = spawn.Process(target=target, args=(there, *own))
            process.start()
            self.pipes.append(here)
            self._processes.append(process)

    def go(self) -> None:
        for pipe in self.pipes:
            pipe.send(None)

    def told(self, kind: type[T]) -> list[T]:
        """What each says at its end, which this waits for."""
        words = [msgspec.convert(pipe.recv(), type=kind) for pipe in self.pipes]
        for process in self._processes:
            process.join()
        return words


@dataclass(frozen=True, slots=True)
class Spent:
    """What the server used meanwhile: its loop's thread, the others, and the loop's stages."""

    seconds: float
    loop_s: float
    others_s: float
    stages: dict[str, dict[str, float]]

    @property
    def cpu_s(self) -> float:
        return self.loop_s + self.others_s

    def server(self) -> ServerReport:
        return ServerReport(processes=1, cpu_s=self.cpu_s, seconds=self.seconds, stages=self.stages)

    def measured(self, done: int, generators: list[float]) -> Measured:
        """`done` operations; the CPU of the generators. There is no load beside them."""
        rate, none = done / self.seconds, Histogram()
        return Measured(
            self.seconds, rate, rate, 0.0, done, 0.0, 0, 0, 0, 0, 0, 0, 0, none, none, none, none, generators
        )


class Watch:
    """From now on."""

    def __init__(self, core: CoreProcess) -> None:
        self._core = core
        self._stages = core.stats(Stages).stages
        self._threads, self._began = thread_seconds(core.pid), time.monotonic()

    def spent(self) -> Spent:
        seconds, after = time.monotonic() - self._began, thread_seconds(self._core.pid)
        used = {name: after[name] - self._threads.get(name, 0.0) for name in after}
        loop = sum(s for name, s in used.items() if name.startswith(LOOP))
        stages = {
            name: {
                "ms": round((now.ns - self._stages[name].ns) / 1e6, 3),
                "count": float(now.count - self._stages[name].count),
            }
            for name, now in self._core.stats(Stages).stages.items()
        }
        return Spent(seconds, loop, sum(used.values()) - loop, stages)
