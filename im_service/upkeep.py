"""Work that no request asks for: receipt counts go out, what no view shows any more goes away."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from im_service.context import ServiceContext
from im_service.conversation.receipts import Receipts
from im_service.storage.errors import StoreError
from im_service.storage.records import Limits

_log = logging.getLogger("qianwan.im")


class Upkeep:
    """The background tasks of one service."""

    def __init__(self, context: ServiceContext, receipts: Receipts) -> None:
        self._store = context.store
        self._clock = context.clock
        self._settings = context.settings
        self._receipts = receipts
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Begin, on the running loop."""
        settings = self._settings
        self._tasks = [
            asyncio.create_task(self._every(settings.receipt_flush_ms, self._receipts.flush)),
            asyncio.create_task(self._every(settings.expire_every_ms, self.expire)),
        ]

    async def _every(self, period_ms: int, work: Callable[[], Awaitable[object]]) -> None:
        while True:
            await asyncio.sleep(period_ms / 1000)
            try:
                await work()
            except StoreError:
                _log.warning("background work failed", exc_info=True)

    async def expire(self) -> int:
        """Remove what no view can show any more, in small steps so that sends go between. -> rows removed."""
        keep = self._settings.retention
        limits = Limits(keep.offline_ms, keep.roam_ms, keep.history_ms)
        removed = 0
        while count := await self._store.expire(self._clock.now_ms(), limits, self._settings.expire_rows):
            removed += count
        return removed

    async def stop(self) -> None:
        """End the tasks; one that is at work is cut off."""
        tasks, self._tasks = self._tasks, []
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
