"""Many gateway processes from one command: a supervisor that imports everything once and forks.

    supervisor   no loop, no thread: forks, waits for signals, counts
      |- report-http HTTP: health, and /metrics summed over the workers
      |- worker 1    a gateway process of its own: node id, client port, bus connection
      |- worker 2 ...

A worker shares what the supervisor imported until it writes to it, so that fifty of them cost little more
than their connections. SIGTERM at the supervisor drains all workers at once. A child that dies by itself is
logged, counted and started again, at most RESTARTS times in RESTART_WINDOW_S each; beyond that it stays away
until the window has passed, and /readyz says so.
"""

from __future__ import annotations

import asyncio
import ctypes
import gc
import os
import signal
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from control.bus.base import BusError
from control.bus.engines import make_bus
from control.coordination.documents import DocumentsUnavailable
from control.coordination.identity import connect_etcd, free_node_ids, numbered
from control.errors import StartError
from control.gateway.core import event_codes
from control.gateway.role import refuse_taken_port
from control.keys.errors import KeyFileError
from control.keys.keystore import KeyStore
from control.logs import get_logger, setup_logs
from control.process import run
from control.process.descriptors import raise_file_limit
from control.process.parent import end_with
from control.process.run import keys_of_cluster
from control.process.signals import HANDLED, HANGUP, Terminal
from control.settings import Settings
from control.settings.values import parse_address
from control.workers.children import Board, Child
from control.workers.plan import worker_settings
from control.workers.report_http import serve_reports
from control.workers.reports import ReportSocket

log = get_logger("workers")

STOP_MARGIN_S = 7.0  # beyond the drain time, until workers are killed: all in all less than 30 s by default
REPORTS_S = 1.0  # for the reports to end behind the workers
NOT_FINISHED = 1
START_FAILED = 3  # exit code of a child that could not start
CRASHED = 128  # and the signal: exit code when a child crashed while stopping, as shells tell it
WATCHED = frozenset({*HANDLED, signal.SIGCHLD})

# glibc (malloc.h): the loop thread and the Python thread need two arenas, helpers may share them.
M_ARENA_MAX = -8


def run_workers(settings: Settings) -> int:
    """Run `gateway.processes` workers until a signal ends them. Returns the exit code. Raises StartError."""
    setup_logs(settings.log.level, settings.log.format, settings.node_name, settings.log.levels)
    raise_file_limit()
    try:
        if settings.etcd.endpoints:
            _in_a_child(lambda: _join_keys(settings))
        else:
            asyncio.run(keys_of_cluster(settings, None))
        KeyStore(settings, create=True)  # made once, before the workers read it
        if settings.bus.kind != "memory" and not settings.server.node_id and not settings.etcd.endpoints:
            # In a row, so that workers that start together do not want the same one.
            settings = numbered(settings, asyncio.run(free_node_ids(settings, settings.gateway.processes)))
        plans = [worker_settings(settings, index) for index in range(settings.gateway.processes)]
        if settings.gateway.same_port:
            refuse_taken_port(*parse_address(settings.gateway.listen))
    except (OSError, BusError, KeyFileError) as error:
        raise StartError(str(error)) from error
    with tempfile.TemporaryDirectory(prefix="qianwan-workers-", dir=_temporary(settings)) as folder:
        return Supervisor(settings, plans, Path(folder)).run()


def _join_keys(settings: Settings) -> int:
    """The life of a child that takes the cluster's keys over."""

    async def join() -> None:
        client = await connect_etcd(settings)
        try:
            await keys_of_cluster(settings, client)
        finally:
            await client.close()

    try:
        asyncio.run(join())
    except (OSError, BusError, DocumentsUnavailable, KeyFileError) as error:
        raise StartError(str(error)) from error
    return 0


def _in_a_child(life: Callable[[], int]) -> None:
    """gRPC starts threads, and whoever forks shall have none. Raises StartError where it failed, which the
    child has told."""
    pid = os.fork()
    if pid == 0:
        code = START_FAILED
        try:
            code = life()
        except StartError as error:
            log.error("cannot start", reason=str(error))
        finally:
            os._exit(code)
    if os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]):
        raise StartError("there are no keys of the cluster")


def _temporary(settings: Settings) -> str:
    """Where paths are short enough for Unix sockets; the data folder where nothing else can be written."""
    try:
        return tempfile.gettempdir()
    except FileNotFoundError:
        return str(settings.server.data_dir)


class Supervisor:
    """Single-threaded, and so always free to fork. `folder` holds the Unix sockets of the reports."""

    def __init__(self, settings: Settings, plans: list[Settings], folder: Path) -> None:
        sockets = [folder / f"worker-{index}" for index in range(len(plans))]
        self._settings = settings
        self._board = Board(len(plans))
        self._workers = [
            Child(plan.node_name if plan.server.node_id else f"worker-{number}", _worker_life(plan, socket))
            for number, (plan, socket) in enumerate(zip(plans, sockets, strict=True), 1)
        ]
        self._report_http = Child("report-http", lambda: serve_reports(settings, sockets, self._board.all))
        self._children = [*self._workers, self._report_http]
        self._patience_s = settings.server.drain_timeout_s + STOP_MARGIN_S
        self._stop_by: float | None = None
        self._code = 0
        self._killed: set[int] = set()
        self._terminal = Terminal()

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
                # Without its supervisor a worker leaves (process/run.py).
                if end_with(parent):
                    code = child.life()
            except StartError as error:
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
            if -code not in (0, signal.SIGTERM) and child.pid not in self._killed:  # nobody here asked for it
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
            self._end(now, self._stop_by)
            return
        for child in self._children:
            if child.again_at is not None and now >= child.again_at:
                child.restarts += 1
                self._start(child)

    def _end(self, now: float, stop_by: float) -> None:
        """The reports go last: whoever watches sees the drain to its end."""
        left = [worker for worker in self._workers if worker.pid]
        if not left:
            self._signal(signal.SIGTERM if now < stop_by + REPORTS_S else signal.SIGKILL, [self._report_http])
        elif now >= stop_by:
            for worker in left:
                log.error("did not end in time: killed, not finished", child=worker.name, pid=worker.pid)
            self._code = self._code or NOT_FINISHED
            self._signal(signal.SIGKILL, left)
            self._stop_by = now + REPORTS_S

    def _next_s(self) -> float:
        if self._stop_by is not None:
            return max(0.05, self._stop_by - time.monotonic())
        times = [child.again_at for child in self._children if child.again_at is not None]
        return max(0.0, min(times) - time.monotonic()) if times else 3600.0

    def _stop(self, number: int) -> None:
        """The first signal drains the workers, the second one ends them at once, like in every process."""
        name = signal.Signals(number).name
        if number == signal.SIGHUP and not self._terminal.is_gone():
            log.info("signal", name=name, effect=HANGUP)
            return
        log.info("signal", name=name)
        if self._stop_by is None:
            self._stop_by = time.monotonic() + self._patience_s
        self._signal(signal.SIGTERM, self._workers)

    def _signal(self, number: int, children: list[Child]) -> None:
        for child in children:
            if child.pid:
                if number == signal.SIGKILL:
                    self._killed.add(child.pid)
                os.kill(child.pid, number)


def _preload(settings: Settings) -> None:
    """Load what a worker would load by itself, the first login included: 6 MB once instead of per worker."""
    event_codes()
    make_bus(settings)
    keystore, now = KeyStore(settings), int(time.time())
    keystore.verifier.verify(keystore.signer().sign("nobody", now, 1), now)


def _worker_life(settings: Settings, socket: Path) -> Callable[[], int]:
    supervisor = os.getpid()

    def life() -> int:
        gc.enable()
        setup_logs(settings.log.level, settings.log.format, settings.node_name, settings.log.levels)
        return run.run_process(settings, lambda process: ReportSocket(process, socket), supervisor)

    return life
