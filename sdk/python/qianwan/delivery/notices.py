"""Notices for the application: bounded, the oldest go first when nobody reads."""

from __future__ import annotations

import asyncio
from collections import deque

from qianwan.models import Notice

MAX_QUEUE = 1000


class NoticeQueue:
    """`async for notice in queue`; `dropped` counts what was lost unread."""

    def __init__(self, limit: int = MAX_QUEUE) -> None:
        self._queue: deque[Notice] = deque()
        self._limit = limit
        self._arrival = asyncio.Event()
        self._closed = False
        self._end: BaseException | None = None
        self.dropped = 0

    def arrived(self, notice: Notice) -> None:
        if len(self._queue) >= self._limit:
            self._queue.popleft()
            self.dropped += 1
        self._queue.append(notice)
        self._arrival.set()

    def close(self, reason: BaseException | None) -> None:
        self._closed, self._end = True, reason
        self._arrival.set()

    def __aiter__(self) -> NoticeQueue:
        return self

    async def __anext__(self) -> Notice:
        while not self._queue:
            if self._end is not None:
                raise self._end
            if self._closed:
                raise StopAsyncIteration
            self._arrival.clear()
            await self._arrival.wait()
        return self._queue.popleft()
