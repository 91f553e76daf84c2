"""Documents whose reads are answered from memory while their engine is away."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from typing import TypeVar

from control.coordination.documents import (
    Change,
    Document,
    Documents,
    DocumentsUnavailable,
    Listing,
)
from control.coordination.replica import Replica
from control.part import Part

Answer = TypeVar("Answer")
READ_S = 0.5
"""For the engine, before memory answers: an operator who looks at an incident waits no longer."""
SLOW_S = 5.0
"""Behind a read that took longer: what else is read comes from memory: many cost no more than one."""


class Remembered(Part):
    """Implements Documents, but that a read below one of `prefixes` may be behind by what changed since the
    engine went away; a document carries the revision that it has here, so that no change can be based on it
    unseen. Changes are the engine's. Raises DocumentsUnavailable where nothing was ever read.
    """

    def __init__(self, engine: Documents, prefixes: Sequence[str]) -> None:
        self._engine = engine
        self._replicas = {prefix: Replica(engine, prefix) for prefix in prefixes}
        self._slow_until = 0.0

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
        found = await self._asked(lambda: self._engine.get(key))
        return found[0] if found else self._read(replica).get(key)

    async def list(self, prefix: str) -> Listing:
        if (replica := self._replica(prefix)) is None:
            return await self._engine.list(prefix)
        if answer := await self._asked(lambda: self._engine.list(prefix)):
            return answer[0]
        found = tuple(each for each in self._read(replica).all() if each.key.startswith(prefix))
        return Listing(found, replica.revision)

    async def put(self, key: str, value: bytes, expected: int | None = None) -> Document:
        return await self._engine.put(key, value, expected)

    async def delete(self, key: str, expected: int | None = None) -> int:
        return await self._engine.delete(key, expected)

    def watch(self, prefix: str, after: int, known: Mapping[str, int] | None = None) -> AsyncIterator[Change]:
        return self._engine.watch(prefix, after, known)

    async def _asked(self, read: Callable[[], Awaitable[Answer]]) -> tuple[Answer] | None:
        """What the engine says; None where it does not in time."""
        loop = asyncio.get_running_loop()
        if self._engine.problem() is not None or loop.time() < self._slow_until:
            return None
        try:
            async with asyncio.timeout(READ_S):
                return (await read(),)
        except DocumentsUnavailable:
            return None
        except TimeoutError:
            self._slow_until = loop.time() + SLOW_S
            return None

    def _replica(self, key: str) -> Replica | None:
        return next((found for prefix, found in self._replicas.items() if key.startswith(prefix)), None)

    def _read(self, replica: Replica) -> Replica:
        if not replica.complete:
            raise DocumentsUnavailable(self._engine.problem() or "the documents do not answer")
        return replica
