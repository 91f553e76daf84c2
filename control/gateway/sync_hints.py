"""After a loss that cannot be repaired: every session is told to look into the store."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable

from frame.constants import FrameType
from im_service.models import SYNC_BODY
from im_service.ports import Downlink


class SyncHints:
    """Tells sessions to look into the store after a loss, spread over seconds so that it makes no storm."""

    SLICES = 50

    def __init__(self, downlink: Callable[[], Downlink], spread_s: float) -> None:
        self._downlink = downlink  # asked for late: it is what tells of a loss
        self._spread_s = spread_s
        self._queue: list[str] = []
        self._size = 1
        self._running = False
        self.sent = 0
        self.stretch = 1.0
        """Times `spread_s`, while there is too much else to do."""

    def trigger(self, users: list[str]) -> None:
        """Every topic of `users` gets one hint within `spread_s`; a trigger meanwhile starts over for all."""
        self._queue = users
        random.shuffle(self._queue)
        self._size = max(1, -(-len(self._queue) // self.SLICES))
        if not self._running and self._queue:
            self._running = True
            self._slice()

    def _slice(self) -> None:
        for topic in self._queue[: self._size]:
            self._downlink().publish(topic, FrameType.EVENT, SYNC_BODY, 1)
            self.sent += 1
        self._queue = self._queue[self._size :]
        if self._queue:
            asyncio.get_running_loop().call_later(self.stretch * self._spread_s / self.SLICES, self._slice)
        else:
            self._running = False
