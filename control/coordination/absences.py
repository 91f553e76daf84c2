"""Silent processes that nobody on the bus answers for: a killed one is known before its lease has ended.

A process that stands still keeps its connection to the bus, and so does one that is slow: the server gives it
the question, and nothing follows from its silence. Where nobody is connected that holds the number, the
server says so itself. Then the process has ended, or has lost the bus: what is given to it is not done.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from control.bus.base import Bus
from control.coordination.claim import holder_of
from control.node_ids import Peer

LOOKS = 2
"""In a row, a beacon apart: who changes from one bus server to another is back meanwhile."""


class Absences:
    """Who was asked for, and how often in a row the bus knew nobody; `absent(peer)` tells of LOOKS times."""

    def __init__(self, bus: Bus, absent: Callable[[Peer], None]) -> None:
        self._bus = bus
        self._absent = absent
        self._nobody: dict[Peer, int] = {}
        self._task: asyncio.Task[None] | None = None
        bus.on_reconnect(self._forget)

    def look(self, silent: Sequence[Peer]) -> None:
        """Ask for these; whoever is not among them was heard. Called once a beacon."""
        self._nobody = {peer: self._nobody.get(peer, 0) for peer in silent}
        if silent and (self._task is None or self._task.done()):
            self._task = asyncio.create_task(self._ask(silent), name="absences")

    def _forget(self) -> None:
        """This process was away from the bus: the others may be on their way back to it too."""
        self._nobody.clear()

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _ask(self, silent: Sequence[Peer]) -> None:
        await asyncio.gather(*map(self._ask_for, silent))

    async def _ask_for(self, peer: Peer) -> None:
        holder = await holder_of(self._bus, peer[0])
        if peer not in self._nobody:
            return
        nobody = holder not in (None, peer[1]) and self._bus.connected  # else nobody was asked
        self._nobody[peer] = self._nobody[peer] + 1 if nobody else 0
        if self._nobody[peer] >= LOOKS:
            del self._nobody[peer]
            self._absent(peer)
