"""The routing directory: topic -> {gateway node: epoch}. Soft state, rebuilt by re-announcement."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Protocol


class TopicSum(Protocol):
    """The topics of one gateway epoch in two numbers: how many they are, and their digests added up modulo
    2^64. Each topic is added once before it is removed."""

    @property
    def count(self) -> int: ...

    @property
    def digest(self) -> int: ...

    def add(self, topic: str) -> None: ...

    def remove(self, topic: str) -> None: ...

    def become(self, count: int, digest: int) -> None: ...


class Routes(Protocol):
    """Guarantees. `gateways` answers from memory and never blocks. Announcements of one gateway epoch apply
    in order, twice is once; those of an epoch that is not the gateway's live one are ignored.

    A gateway repairs any loss by repeating everything, in as many pieces as it likes: `begin`, announcements
    and withdrawals, `end`. Until then what was known counts too, from then on exactly what was said since
    `begin`; one that begins again before its end has begun anew.
    """

    def announce(self, node: int, epoch: int, topics: Iterable[str]) -> None: ...

    def expect(self, node: int, epoch: int, topic: str) -> None:
        """Its gateway will announce this topic soon, and is asked from now on. If it does not, the topic is
        forgotten after EXPECTED_TICKS."""
        ...

    def withdraw(self, node: int, epoch: int, topics: Iterable[str]) -> None: ...

    def begin(self, node: int, epoch: int) -> None: ...

    def end(self, node: int, epoch: int) -> None: ...

    def gateways(self, topic: str) -> tuple[int, ...]:
        """Live gateways with members of the topic, in no particular order."""
        ...

    def expire(self, node: int, epoch: int) -> None:
        """This epoch of the gateway is dead: its entries go, and words of it are ignored until `live`."""
        ...

    def live(self, node: int, epoch: int) -> bool:
        """This epoch of the gateway lives: its words count from now on, and no other's. True when it had been
        expired. ValueError: no node id."""
        ...

    def held(self, node: int, epoch: int) -> tuple[int, int] | None:
        """(topics that this gateway announced and did not withdraw, the sum of their digests): what must
        equal the gateway's own TopicSum. None while it repeats everything, or does not live."""
        ...

    def size(self) -> int:
        """Entries (topic, gateway) held."""
        ...

    def stats(self) -> Mapping[str, int]:
        """`entries`, how many of them are `expected` and not announced yet, `topics`, and `bytes`."""
        ...

    def tick(self) -> None:
        """Called about once a second."""
        ...

    def work(self) -> bool:
        """A slice of what is to be cleared away. True: there is more."""
        ...
