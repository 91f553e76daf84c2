"""What is done a moment later, for however many: one task and one queue, no timer of each."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

from im_service.ports import Clock
from im_service.turns import SLICE

_log = logging.getLogger("qianwan.im")
T = TypeVar("T")


class Moments(Generic[T]):
    """What is added is given to `due` in order, `after_ms` later, as many at a time as are due, SLICE at
    most. What waits at the end is left."""

    def __init__(self, clock: Clock, after_ms: int, due: Callable[[list[T]], Awaitable[None]]) -> None:
        self._clock = clock
        self._after_ms = after_ms
        self._due = due
        self._waiting: deque[tuple[int, T]] = deque()
        self._task: asyncio.Task[None] | None = None

    def add(self, item: T) -> None:
        self._waiting.append((self._clock.elapsed_ms() + self._after_ms, item))
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._run())

    async def _run(self) -> None:
        while self._waiting:
            now = self._clock.elapsed_ms()
            if (left_ms := self._waiting[0][0] - now) > 0:
                await asyncio.sleep(left_ms / 1000)
                continue
            items: list[T] = []
            while self._waiting and self._waiting[0][0] <= now and len(items) < SLICE:
                items.append(self._waiting.popleft()[1])
            try:
                await self._due(items)
            except Exception:
                _log.exception("what was due was not done")
            await asyncio.sleep(0)
        self._task = None

    def stop(self) -> None:
        self._waiting.clear()
        if self._task is not None:
            self._task.cancel()
            self._task = None
