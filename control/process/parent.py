"""Processes that do not outlive the one that started them, however that one ends."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from collections.abc import Callable
from types import FrameType

PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None)


def end_with(parent: int, number: int = signal.SIGTERM) -> bool:
    """In a new process: get this signal when its parent ends (precisely: the thread of it that forked). False
    when the parent is gone already.
    """
    _libc.prctl(PR_SET_PDEATHSIG, number)
    return os.getppid() == parent


def ending_with_me(number: int = signal.SIGTERM) -> Callable[[], None]:
    """`preexec_fn` of a child that gets this signal when the process that calls this here ends."""
    parent = os.getpid()

    def prepare() -> None:
        if not end_with(parent, number):
            os._exit(1)

    return prepare


def tidy_up_on_signals() -> None:
    """SIGTERM and SIGHUP end this process like an exception, so that what it started is stopped and what it
    wrote is removed; the exit code is what a shell tells of such an end.
    """

    def leave(number: int, _: FrameType | None) -> None:
        for other in (signal.SIGTERM, signal.SIGHUP):
            signal.signal(other, signal.SIG_IGN)  # tidying up is under way
        sys.exit(128 + number)

    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, leave)
