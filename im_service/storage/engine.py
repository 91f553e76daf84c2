"""What the faces need of an engine."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import TypeVar

from im_service.storage.ops.tx import Op
from im_service.storage.records import Mark

T = TypeVar("T")


class Engine(ABC):
    @abstractmethod
    async def _read(self, op: Op[T]) -> T:
        """Run on one snapshot, beside the writer."""

    @abstractmethod
    async def _write(self, make: Callable[[], Op[T]], weight: int = 1) -> T:
        """Queue for the writer; return after its commit. `make` may be called again for another attempt."""

    @abstractmethod
    async def ack(self, user: str, device: str, marks: Sequence[Mark]) -> None:
        """Part of Inbox; engines write the watermarks of many devices at once."""
