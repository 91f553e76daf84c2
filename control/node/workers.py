"""Many gateway processes from one command: a supervisor that imports everything once and forks.

    supervisor   no loop, no thread: forks, waits for signals, counts
      |- front       HTTP: health, and /metrics summed over the workers
      |- worker 1    a gateway process of its own: node id, client port, bus connection
      |- worker 2 ...

A worker shares what the supervisor imported until it writes to it, so that fifty of them cost little more
than their connections. SIGTERM at the supervisor drains all workers at once. A child that dies by itself is
logged, counted and started again, at most RESTARTS times in RESTART_WINDOW_S each; beyond that it stays away
until the window has passed, and /readyz says so.
"""

from __future__ import annotations

import ctypes
import gc
import mmap
import os
import signal
import struct
import tempfile
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from control.logs import get_logger, setup_logs
from control.node import builders, run
from control.node.front import serve_front
from control.node.gateway_part import refuse_taken_port
from control.node.keystore import KeyStore
from control.node.reports import report_beside
from control.settings import Settings
from control.settings.model import parse_address
from crypto.errors import CryptoError

log = get_logger("workers")

RESTARTS = 5
RESTART_WINDOW_S = 60.0
RESTART_DELAY_S = 0.2  # a child that cannot live must not turn the supervisor into a busy loop
STOP_MARGIN_S = 10.0  # beyond the drain time, until children are killed
START_FAILED = 3  # exit code of a child that could not start
CRASHED = 128  # and the signal: exit code when a child crashed while stopping, as shells tell it
MAX_NODE_ID = 255
WATCHED = frozenset({signal.SIGTERM, signal.SIGINT, signal.SIGCHLD})

# Commands and events of one loop with 19,000 connections: rings of this size keep up with both, and a ring
# that has gone round once is memory for good.
RING = 2048
# glibc (malloc.h): the loop thread and the Python thread need two arenas, helpers may share them.
M_ARENA_MAX = -8
PR_SET_PDEATHSIG = 1


class Board:
    """What the supervisor knows, in memory it shares with the front: one cell per child."""

    CELL = struct.Struct("=iI")  # pid (0: away), restarts

    def __init__(self, children: int) -> None:
        self._map = mmap.mmap(-1, children * self.CELL.size)
        self._children = children

    def set(self, index: int, pid: int, restarts: int) -> None:
        self.CELL.pack_into(self._map, index * self.CELL.size, pid, restarts)

    def all(self) -> list[tuple[int, int]]:
        """(pid, restarts) of every child in order."""
        used = self._map[: self._children * self.CELL.size]
        return [(pid, restarts) for pid, restarts in self.CELL.iter_unpack(used)]


@dataclass
class Child:
    """One process to be kept alive. `life` runs in it and returns its exit code."""

    name: str
    life: Callable[[], int]
    pid: int = 0
    restarts: int = 0
    again_at: float | None = None  # monotonic seconds
    deaths: deque[float] = field(default_factory=deque)

    def died(self, now: float) -> bool:
        """Plan the next start. False when it has died too often: it waits for the window to pass."""
        self.pid = 0
        self.deaths.append(now)
        while now - self.deaths[0] > RESTART_WINDOW_S:
            self.deaths.popleft()
        often = len(self.deaths) > RESTARTS
        self.again_at = self.deaths[0] + RESTART_WINDOW_S if often else now + RESTART_DELAY_S
        return not often


def worker_settings(settings: Settings, index: int) -> Settings:
    """Settings of worker `index` (from 0): its node id, name and port.

    Raises SettingsProblem when the numbers do not suffice.
    """
    node_id = settings.server.node_id + index
    if node_id > MAX_NODE_ID:
        raise builders.SettingsProblem(f"node id {node_id}: a cluster has at most {MAX_NODE_ID} processes")
    gateway, server = settings.gateway, settings.server
    shift = 0 if gateway.same_port else index
    rings: dict[str, int | float | bool | str] = {
        "mailbox": RING, "event_ring": RING, "max_connections": run.file_limit()
    }  # fmt: skip
    own_gateway = gateway.model_copy(
        update={
            "listen": _shifted(gateway.listen, shift),
            "advertise": _shifted(gateway.advertise, shift) if gateway.advertise else "",
            "loops": gateway.loops or 1,
            "processes": 1,
            "core": rings | gateway.core,
        }
    )
    own_server = server.model_copy(
        update={
            "node_id": node_id,
            "node_name": f"{server.node_name}-{index + 1}" if server.node_name else "",
        }
    )
    return settings.model_copy(update={"gateway": own_gateway, "server": own_server})


def _shifted(address: str, shift: int) -> str:
    host, port = parse_address(address)
    if port == 0 and shift:
        raise builders.SettingsProblem("port 0 cannot be counted up: name the first port")
    if port + shift > 65535:
        raise builders.SettingsProblem(f"{address}: port {port + shift} does not exist")
    return f"[{host}]:{port + shift}" if ":" in host else f"{host}:{port + shift}"


def run_workers(settings: Settings) -> int:
    """Run `gateway.processes` workers until a signal ends them. Returns the exit code. Raises StartError."""
    setup_logs(settings.log.level, settings.log.format, settings.node_name)
    run.raise_file_limit()
    try:
        KeyStore(settings)  # made once, before the workers read it
        plans = [worker_settings(settings, index) for index in range(settings.gateway.processes)]
        if settings.gateway.same_port:
            refuse_taken_port(*parse_address(settings.gateway.listen))
    except (OSError, CryptoError, builders.SettingsProblem) as error:
        raise run.StartError(str(error)) from error
    with tempfile.TemporaryDirectory(prefix="qianwan-workers-") as folder:
        return Supervisor(settings, plans, Path(folder)).run()


class Supervisor:
    """Single-threaded, and so always free to fork. `folder` holds the Unix sockets of the reports."""

    def __init__(self, settings: Settings, plans: list[Settings], folder: Path) -> None:
        sockets = [folder / f"worker-{index}" for index in range(len(plans))]
        self._settings = settings
        self._board = Board(len(plans))
        self._workers = [
            Child(plan.node_name, _worker_life(plan, socket))
            for plan, socket in zip(plans, sockets, strict=True)
        ]
        self._front = Child("front", lambda: serve_front(settings, sockets, self._board.all))
        self._children = [*self._workers, self._front]
        self._patience_s = settings.server.drain_timeout_s + STOP_MARGIN_S
        self._stop_by: float | None = None
        self._code = 0

    def run(self) -> int:
        # Signals are taken by sigtimedwait below; children open the mask when their handlers stand.
        signal.pthread_sigmask(signal.SIG_BLOCK, WATCHED)
        _preload(self._settings)
        ctypes.CDLL(None).mallopt(M_ARENA_MAX, 2)
        # What is there now stays for good: collections must not write to the pages that all share.
        gc.collect()
        gc.disable()
        gc.freeze()
        for child in self._children:
            self._start(child)
        while any(child.pid for child in self._children):
            info = signal.sigtimedwait(WATCHED, self._next_s())
            if info is not None and info.si_signo != signal.SIGCHLD:
                self._stop(info.si_signo)
            self._reap()
            self._due()
            if self._stop_by is not None and not any(worker.pid for worker in self._workers):
                # The front goes last: whoever watches sees the drain to its end.
                self._signal(signal.SIGTERM, [self._front])
        log.info("workers stopped", code=self._code)
        return self._code

    def _start(self, child: Child) -> None:
        parent = os.getpid()
        pid = os.fork()
        if pid == 0:
            code = 1
            try:
                # A group of its own: Ctrl-C in a terminal reaches the supervisor alone, which drains.
                os.setpgid(0, 0)
                # Without its supervisor a worker drains and leaves.
                ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
                if os.getppid() == parent:
                    code = child.life()
            except run.StartError as error:
                log.error("cannot start", child=child.name, reason=str(error))
                code = START_FAILED
            except BaseException:
                log.exception("died", child=child.name)
            finally:
                os._exit(code)
        child.pid = pid
        child.again_at = None
        self._tell(child)
        log.info("child started", child=child.name, pid=pid, restarts=child.restarts)

    def _tell(self, child: Child) -> None:
        if child in self._workers:
            self._board.set(self._workers.index(child), child.pid, child.restarts)

    def _reap(self) -> None:
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            child = next((c for c in self._children if c.pid == pid), None)
            if child is not None:
                self._died(child, os.waitstatus_to_exitcode(status))

    def _died(self, child: Child, code: int) -> None:
        if self._stop_by is not None:
            if -code not in (0, signal.SIGTERM, signal.SIGKILL):  # no end that the supervisor asked for
                log.error("child failed while stopping", child=child.name, pid=child.pid, code=code)
                self._code = self._code or (code if code > 0 else CRASHED - code)
            child.pid = 0
            return
        pid = child.pid
        first = child.restarts == 0
        again = child.died(time.monotonic())
        log.error("child is gone", child=child.name, pid=pid, code=code, again=again)
        self._tell(child)
        if code == START_FAILED and first:
            # What cannot even start the first time is a wrong setting, and that is for the operator.
            self._code = code
            self._stop(signal.SIGTERM)

    def _due(self) -> None:
        now = time.monotonic()
        if self._stop_by is not None:
            if now >= self._stop_by:
                self._signal(signal.SIGKILL, self._children)
            return
        for child in self._children:
            if child.again_at is not None and now >= child.again_at:
                child.restarts += 1
                self._start(child)

    def _next_s(self) -> float:
        if self._stop_by is not None:
            return max(0.05, self._stop_by - time.monotonic())
        times = [child.again_at for child in self._children if child.again_at is not None]
        return max(0.0, min(times) - time.monotonic()) if times else 3600.0

    def _stop(self, number: int) -> None:
        """The first signal drains the workers, the second one ends them at once, like in every process."""
        log.info("signal", name=signal.Signals(number).name)
        if self._stop_by is None:
            self._stop_by = time.monotonic() + self._patience_s
        self._signal(signal.SIGTERM, self._workers)

    def _signal(self, number: int, children: list[Child]) -> None:
        for child in children:
            if child.pid:
                os.kill(child.pid, number)


def _preload(settings: Settings) -> None:
    """Load what a worker would load by itself, the first login included: 6 MB once instead of per worker."""
    builders.event_codes()
    builders.make_bus(settings)
    keystore, now = KeyStore(settings), int(time.time())
    keystore.verifier.verify(keystore.signer().sign("nobody", now, 1), now)


def _worker_life(settings: Settings, socket: Path) -> Callable[[], int]:
    def life() -> int:
        gc.enable()
        setup_logs(settings.log.level, settings.log.format, settings.node_name)
        return run.run_process(settings, http=False, beside=report_beside(socket))

    return life
