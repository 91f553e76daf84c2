"""Does the bus carry anything? A connection may lead to a server that stands still, or into a cut."""

from __future__ import annotations

from control.bus.base import Bus
from control.node_ids import Peer


class Hearing:
    """This process says a word to itself over the bus at every tick. `patience` ticks without one that came
    back are a bus that carries nothing; a process that stood still itself has missed its ticks as well.
    """

    def __init__(self, bus: Bus, own: Peer, patience: int) -> None:
        self._bus = bus
        self._subject = f"echo.{own[0]}.{own[1]}"
        self._patience = patience
        self._unheard = 0

    async def start(self) -> None:
        self._bus.on_reconnect(self._heard)
        await self._bus.subscribe(self._subject, self._heard)

    def tick(self) -> None:
        self._unheard += 1
        self._bus.publish(self._subject, b"")

    def problem(self) -> str | None:
        return "carries nothing: the server does not answer" if self._unheard >= self._patience else None

    def _heard(self, _: bytes = b"") -> None:
        self._unheard = 0
