"""Who has a store open: each im process holds a lock in it, named by its node key, as long as it lives."""

from typing import Protocol


class Holders(Protocol):
    """`patience_s`: a lock outlives a process that vanished with its machine for so long at most."""

    patience_s: float

    async def hold(self, own: int) -> None:
        """Hold the lock of this node key, again if it was lost. Raises OSError or StoreUnavailable."""
        ...

    async def others(self, own: int) -> list[int]:
        """Node keys of the other locks that are held now; one who holds none may ask. Raises as `hold`."""
        ...

    async def release(self) -> None: ...
