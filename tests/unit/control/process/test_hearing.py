"""A bus that is connected and carries nothing is told."""

from __future__ import annotations

import asyncio

from control.bus.hearing import Hearing
from control.bus.memory import MemoryBus, MemoryHub


class Cut(MemoryHub):
    """Carries nothing while it is cut."""

    cut = False

    def put(self, subject: str, payload: bytes) -> bool:
        return self.cut or super().put(subject, payload)


async def test_words_that_do_not_come_back_are_a_bus_that_carries_nothing() -> None:
    hub = Cut()
    bus = MemoryBus(hub)
    await bus.start()
    hearing = Hearing(bus, (1, 7), patience=3)
    await hearing.start()

    async def after(ticks: int) -> str | None:
        for _ in range(ticks):
            hearing.tick()
            await asyncio.sleep(0)
        return hearing.problem()

    assert await after(10) is None
    hub.cut = True
    assert await after(2) is None, "one word may be lost"
    assert await after(1)
    hub.cut = False
    assert await after(1) is None
    await bus.close()
