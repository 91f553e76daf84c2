"""Documents whose reads are answered from memory while their engine is away."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence

from control.coordination.documents import (
    Change,
    Document,
    Documents,
    DocumentsUnavailable,
    Listing,
)
from control.coordination.replica import Replica
from control.part import Part

READ_S = 1.0
"""For the engine, before memory answers: an operator who looks at an incident waits no longer."""


class Remembered(Part):
    """Implements Documents, but that a read below one of `prefixes` may be behind by what changed since the
    engine went away; a document carries the revision that it has here, so that no change can be based on it
    unseen. Changes are the engine's. Raises DocumentsUnavailable where nothing was ever read.
    """

    def __init__(self, engine: Documents, prefixes: Sequence[str]) -> None:
        self._engine = engine
        self._replicas = {prefix: Replica(engine, prefix) for prefix in prefixes}

    async def start(self) -> None:
        for replica in self._replicas.values():
            await replica.start()

    async def stop(self, grace_s: float = 0.0) -> None:
        for replica in self._replicas.values():
            await replica.stop()

    def problem(self) -> str | None:
        return self._engine.problem()

    async def get(self, key: str) -> Document | None:
        if (replica := self._replica(key)) is None:
            return await self._engine.get(key)
        if self._engine.problem() is None:
            try:
                async with asyncio.timeout(READ_S):
                    return await self._engine.get(key)
            except (DocumentsUnavailable, TimeoutError):
                pass
        return self._read(replica).get(key)

    async def list(self, prefix: str) -> Listing:
        if (replica := self._replica(prefix)) is None:
            return await self._engine.list(prefix)
        if self._engine.problem() is None:
            try:
                async with asyncio.timeout(READ_S):
                    return await self._engine.list(prefix)
            except (DocumentsUnavailable, TimeoutError):
                pass
        found = tuple(each for each in self._read(replica).all() if each.key.startswith(prefix))
        return Listing(found, replica.revision)

    async def put(self, key: str, value: bytes, expected: int | None = None) -> Document:
        return await self._engine.put(key, value, expected)

    async def delete(self, key: str, expected: int | None = None) -> int:
        return await self._engine.delete(key, expected)

    def watch(self, prefix: str, after: int, known: Mapping[str, int] | None = None) -> AsyncIterator[Change]:
        return self._engine.watch(prefix, after, known)

    def _replica(self, key: str) -> Replica | None:
        return next((found for prefix, found in self._replicas.items() if key.startswith(prefix)), None)

    def _read(self, replica: Replica) -> Replica:
        if not replica.complete:
            raise DocumentsUnavailable(self._engine.problem() or "the documents do not answer")
        return replica
