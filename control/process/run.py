"""A process from its start to its end: signals, drain and stop."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import signal
import sys
from collections.abc import Coroutine
from functools import partial
from typing import TYPE_CHECKING, Any, NoReturn

import uvloop

from control.bus.base import BusError
from control.coordination.documents import DocumentsUnavailable
from control.coordination.identity import Identity, take_identity
from control.coordination.same_root import refuse_other_root
from control.errors import StartError
from control.keys.errors import ApiKeyError, KeyFileError
from control.keys.shared import Joined, join_keys
from control.logs import get_logger, setup_logs
from control.process.descriptors import raise_file_limit
from control.process.first_root import own_root, patiently, refuse_new_root, told_root
from control.process.process import Process
from control.process.signals import HANDLED, HANGUP, Terminal
from control.process.wiring import Outlet, build_process
from control.settings import Settings
from im_service.storage.errors import StoreError

if TYPE_CHECKING:
    from control.coordination.etcd.client import EtcdClient

log = get_logger("process")

# Young-generation threshold: batches of events make garbage in bulk, and most of it dies at once.
# The middle generation stays below 0.2 s of work; the oldest, 7 s at a million sessions, hardly ever comes.
GC_THRESHOLD = (50_000, 5, 1000)
# The store's writer is a thread of this interpreter: with Python's 5 ms a busy event loop makes each of its
# many short turns wait that long, and commits take twice the time. Both sides do bulk work per turn, so the
# additional switches are few.
SWITCH_INTERVAL_S = 0.0005
DRAIN, AT_ONCE = "drain; a second signal ends the waiting", "stop; one more signal ends it unfinished"
CUT_S = 2.0
"""For an end that is under way when somebody is tired of it."""
GRACE_S = 2.0
"""For clients to take their CLOSE."""
TAKEN = 4
"""Exit code of a process whose node id another one has: it is to be started again."""


def run(settings: Settings) -> int:
    """Run one process until a signal ends it. Returns the exit code. Raises StartError."""
    setup_logs(settings.log.level, settings.log.format, settings.node_name, settings.log.levels)
    raise_file_limit()
    return run_process(settings)


def run_process(settings: Settings, outlet: Outlet | None = None, supervisor: int = 0) -> int:
    """Run the parts of one process on a new event loop. `outlet`: what it has in place of HTTP.
    `supervisor`: the process without which this one ends at once, as whoever starts another one wants its
    node id and port.
    """
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(_main(settings, outlet, supervisor))


class Stop:
    """What the stop signals of an operator have asked for: a drain, then an end of the waiting. One that
    finds nothing left to wait for but the start or the end itself gives these CUT_S, the next one nothing.
    """

    def __init__(self, supervisor: int = 0) -> None:
        self._supervisor = supervisor
        self.wanted = asyncio.Event()
        self.at_once = asyncio.Event()
        self.drains = False
        self._terminal = Terminal()

    def on_signal(self, number: int) -> None:
        name = signal.Signals(number).name
        if number == signal.SIGHUP and not self._terminal.is_gone():
            log.info("signal", name=name, effect=HANGUP)
            return
        again = self.wanted.is_set()
        if again and not self.drains:
            reason = f"{name} came once more before the end"
            if self.at_once.is_set():
                give_up(reason)
            asyncio.get_running_loop().call_later(CUT_S, give_up, reason)
        if again:
            self.at_once.set()
        if self._supervisor and os.getppid() != self._supervisor:
            self.at_once.set()
        self.wanted.set()
        log.info("signal", name=name, effect=AT_ONCE if self.at_once.is_set() else DRAIN)

    def leave(self) -> None:
        """As at a first signal: this process is not wanted any more in its cluster."""
        log.error("this process leaves", effect=DRAIN)
        self.wanted.set()


def give_up(reason: str) -> NoReturn:
    """What hangs would hang the end of the loop and of the interpreter as well."""
    log.error("stopped, but not finished", reason=reason)
    logging.shutdown()
    os._exit(1)


async def _main(settings: Settings, outlet: Outlet | None, supervisor: int) -> int:
    stop = Stop(supervisor)
    loop = asyncio.get_running_loop()
    for number in HANDLED:
        loop.add_signal_handler(number, stop.on_signal, number)
    # A worker's supervisor keeps them blocked; now they have somebody to go to.
    signal.pthread_sigmask(signal.SIG_UNBLOCK, (*HANDLED, signal.SIGCHLD))

    settings, identity = await _identity(settings)
    identity.on_taken(stop.leave)
    process = await _started(settings, identity, outlet)
    gc.collect()
    gc.freeze()
    gc.set_threshold(*GC_THRESHOLD)
    stop.drains = True
    await stop.wanted.wait()
    await _first_of(process.drain(), stop.at_once.wait())
    stop.drains = False
    try:
        await process.stop(0.0 if stop.at_once.is_set() else GRACE_S)
    except Exception as error:
        give_up(str(error))
    log.info("stopped")
    return TAKEN if identity.taken_by else 0


async def _identity(settings: Settings) -> tuple[Settings, Identity]:
    try:
        taken, identity = await take_identity(settings)
    except BusError as error:
        raise StartError(str(error)) from error
    try:
        identity.keys = await keys_of_cluster(taken, identity.etcd.client if identity.etcd else None)
    except BaseException as error:
        await identity.stop()
        if isinstance(error, OSError | BusError | KeyFileError | DocumentsUnavailable | StoreError):
            raise StartError(str(error)) from error
        raise
    if taken.node_name != settings.node_name:
        setup_logs(taken.log.level, taken.log.format, taken.node_name, taken.log.levels)
    return taken, identity


async def keys_of_cluster(settings: Settings, client: EtcdClient | None) -> Joined | None:
    """Take the cluster's keys over, or give it those that are here. None where they are not shared, or this
    process has no use for them. A gateway waits until there are any. Raises StartError, BusError,
    DocumentsUnavailable, KeyFileError, StoreError.
    """
    if set(settings.server.roles) == {"im"}:
        return None
    if client is None:
        return await patiently(partial(own_root, settings, None))
    from control.coordination.etcd.documents import EtcdDocuments

    documents = EtcdDocuments(client)
    if not settings.auth.keys_secret:
        return await patiently(partial(own_root, settings, documents))
    return await patiently(partial(join_keys, settings, documents, partial(refuse_foreign_root, settings)))


async def refuse_foreign_root(settings: Settings, root: str) -> None:
    """A root key that is about to become the cluster's. Raises StartError, BusError, StoreError."""
    told = await told_root(settings)
    if told is not None and not root:
        raise StartError(
            f"the cluster's keys are not in etcd, and {told.name} lives with them:"
            " it shares them again within seconds, start again"
        )
    refuse_other_root(told, root)
    if not root:
        await refuse_new_root(settings)


async def _started(settings: Settings, identity: Identity, outlet: Outlet | None) -> Process:
    try:
        process = build_process(settings, identity, outlet)
    except BaseException as error:
        await identity.stop()
        if isinstance(error, OSError | KeyFileError | ApiKeyError):
            raise StartError(str(error)) from error
        raise
    try:
        await process.start()
    except (OSError, BusError, DocumentsUnavailable, KeyFileError, ApiKeyError, StoreError) as error:
        raise StartError(str(error)) from error
    return process


async def _first_of(*waits: Coroutine[Any, Any, Any]) -> None:
    tasks = [asyncio.ensure_future(wait) for wait in waits]
    await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
