"""Loop threads and signals: Python handles them all, but a fault of a loop ends the process with a word."""

from __future__ import annotations

import signal
from pathlib import Path

from tests.support.gateway_client import wait_for
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


def masks_of_loops() -> list[set[int]]:
    threads = Path("/proc/self/task").iterdir()
    return [blocked(thread) for thread in threads if (thread / "comm").read_text().startswith("qw-loop")]


def test_loops_block_all_signals_but_those_of_their_own_faults(gateway: GatewayHarness) -> None:
    """Waited for: a thread just made has no name yet, and the C library blocks all its signals at first."""
    wanted = signal.valid_signals() - FAULTS - {signal.SIGKILL, signal.SIGSTOP}
    wait_for(lambda: masks_of_loops() == [wanted] * gateway.stats()["loops"], what="masks of all loops")
