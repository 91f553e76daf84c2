"""Periodic work of a process wakes it together: a wake-up for each task costs more than the work itself."""

from __future__ import annotations

import asyncio
import math
import os
from collections.abc import AsyncIterator

_GOLDEN = 0.6180339887498949


def next_tick(now: float, period_s: float, process: int) -> float:
    """The first multiple of the period after `now`, counted from an origin of the process's own.

    Periods that divide each other meet. Processes with neighbouring numbers, as they are started, get origins
    far from each other, so that a machine full of them does not wake as one.
    """
    origin = process * _GOLDEN
    return origin + (math.floor((now - origin) / period_s) + 1) * period_s


async def ticks(period_s: float) -> AsyncIterator[None]:
    """Yields every `period_s` seconds; the first time after a part of it. Ticks missed by a late turn are
    left out.
    """
    loop = asyncio.get_running_loop()
    due = -math.inf
    while True:
        # A timer may end a little early: half a period after a tick its successor is meant, never itself.
        due = next_tick(max(loop.time(), due + period_s / 2), period_s, os.getpid())
        await asyncio.sleep(due - loop.time())
        yield
