"""Loop threads and signals: Python handles them all, but a fault of a loop ends the process with a word."""

from __future__ import annotations

import signal
from pathlib import Path

from tests.support.gateway_harness import GatewayHarness

FAULTS = {
    signal.SIGSEGV,
    signal.SIGBUS,
    signal.SIGFPE,
    signal.SIGILL,
    signal.SIGABRT,
    signal.SIGTRAP,
    signal.SIGSYS,
}


def blocked(thread: Path) -> set[int]:
    """Numbers of the signals that a thread of this process blocks."""
    line = next(line for line in (thread / "status").read_text().splitlines() if line.startswith("SigBlk:"))
    mask = int(line.split()[1], 16)
    return {number for number in signal.valid_signals() if mask >> (number - 1) & 1}


def test_loops_block_all_signals_but_those_of_their_own_faults(gateway: GatewayHarness) -> None:
    threads = [
        path
        for path in Path("/proc/self/task").iterdir()
        if (path / "comm").read_text().startswith("qw-loop")
    ]
    assert len(threads) == gateway.stats()["loops"]
    assert all(
        blocked(thread) == signal.valid_signals() - FAULTS - {signal.SIGKILL, signal.SIGSTOP}
        for thread in threads
    )
