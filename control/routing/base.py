"""The routing directory: topic -> {gateway node: epoch}. Soft state, rebuilt by re-announcement."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol


class Routes(Protocol):
    """Guarantees. `gateways` answers from memory and never blocks. Announcements of one gateway epoch apply
    in order; those of an epoch that is not the gateway's live one are ignored. `replace` makes the
    entries of that epoch exactly the given topics, so that a gateway can repair any loss by announcing
    everything.
    """

    def announce(self, node: int, epoch: int, topics: Iterable[str]) -> None: ...

    def withdraw(self, node: int, epoch: int, topics: Iterable[str]) -> None: ...

    def replace(self, node: int, epoch: int, topics: Iterable[str]) -> None: ...

    def gateways(self, topic: str) -> tuple[int, ...]:
        """Live gateways with members of the topic, in no particular order."""
        ...

    def expire(self, node: int, epoch: int) -> None:
        """This epoch of the gateway is dead: its entries go, and words of it are ignored until `live`."""
        ...

    def live(self, node: int, epoch: int) -> bool:
        """This epoch of the gateway lives: its words count from now on, and no other's. True when it had been
        expired."""
        ...

    def size(self) -> int:
        """Entries (topic, gateway) held."""
        ...
