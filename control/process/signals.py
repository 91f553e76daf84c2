"""What signals mean to a process of ours: SIGTERM and SIGINT stop it, SIGHUP only with its terminal."""

from __future__ import annotations

import os
import signal

STANDARD = (0, 1, 2)
STOPPING = (signal.SIGTERM, signal.SIGINT)
HANDLED = (*STOPPING, signal.SIGHUP)
HANGUP = "ignored: keys are read again by themselves, other settings at the next start"


class Terminal:
    """The terminal this process was started from, if it was."""

    def __init__(self) -> None:
        self._fds = [fd for fd in STANDARD if os.isatty(fd)]

    def is_gone(self) -> bool:
        """True when it was closed: then a SIGHUP is the end. What is written from now on goes nowhere."""
        gone = [fd for fd in self._fds if not os.isatty(fd)]
        if not gone:
            return False
        nowhere = os.open(os.devnull, os.O_RDWR)
        for fd in gone:
            os.dup2(nowhere, fd)
        os.close(nowhere)
        return True
