"""What goes to users one by one, as not everybody of a group gets it: paid by who causes it, in slices."""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict, deque
from collections.abc import Callable, Sequence
from typing import NamedTuple

from frame.constants import USER_PREFIX
from im_service.errors import rate_limited
from im_service.ports import NORMAL, SERVER_NODE, Clock, Downlink, Session
from im_service.rates import Bucket, Limiter, Rate
from im_service.turns import SLICE

_log = logging.getLogger("qianwan.im")
BACKLOG = 10_000
"""Publications that wait, above which the application's server waits, too."""
MAX_OWING = 10_000
"""Accounts whose debts are remembered: above this the one that has not spread for longest is forgotten."""


class _Job(NamedTuple):
    topics: Sequence[str]
    type: int
    body: bytes
    priority: int
    exclude: Session | None


class Spread:
    """Publishes to many topics, first come, first served. `online` None: who is online is not known here."""

    def __init__(
        self, downlink: Downlink, clock: Clock, rate: Rate, online: Callable[[str], bool] | None = None
    ) -> None:
        self._downlink = downlink
        self._clock = clock
        self._limit = Limiter(rate)
        self._online = online
        self._owing: OrderedDict[str, Bucket] = OrderedDict()
        self._jobs: deque[_Job] = deque()
        self._waiting = 0
        self._task: asyncio.Task[None] | None = None

    def set_rate(self, rate: Rate) -> None:
        """From now on."""
        self._limit.set(rate)

    def ask(self, user: str) -> None:
        """Raises 416 while this account owes more than its burst."""
        bucket = self._owing.get(user)
        if bucket is not None and (wait := self._limit.owed(bucket, self._clock.elapsed_ms())):
            raise rate_limited(wait, "spread")

    def charge(self, user: str, count: int) -> None:
        """So many publications are this account's: they may be more than its burst, then it owes them."""
        if self._limit.off or not count:
            return
        now = self._clock.elapsed_ms()
        bucket = self._owing.setdefault(user, Bucket())
        self._owing.move_to_end(user)
        self._limit.charge(bucket, now, count)
        while len(self._owing) > MAX_OWING or next(iter(self._owing.values())).full_ms <= now:
            self._owing.popitem(last=False)

    async def room(self) -> None:
        """Wait while too much waits."""
        if self._waiting > BACKLOG:
            await self.close()

    def publish(
        self,
        topics: Sequence[str],
        type: int,
        body: bytes,
        priority: int = NORMAL,
        exclude: Session | None = None,
    ) -> None:
        """To all these topics; now if they are few, else a slice in each turn of the loop."""
        if len(topics) <= SLICE and not self._jobs:
            self._slice(topics, type, body, priority, exclude)
            return
        self._jobs.append(_Job(topics, type, body, priority, exclude))
        self._waiting += len(topics)
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._run())

    async def _run(self) -> None:
        while self._jobs:
            topics, type, body, priority, exclude = self._jobs[0]
            for start in range(0, len(topics), SLICE):
                try:
                    self._slice(topics[start : start + SLICE], type, body, priority, exclude)
                except Exception:
                    _log.exception("publications were lost")
                await asyncio.sleep(0)
            self._jobs.popleft()
            self._waiting -= len(topics)
        self._task = None

    def _slice(
        self, topics: Sequence[str], type: int, body: bytes, priority: int, exclude: Session | None
    ) -> None:
        if len(topics) == 1:
            self._downlink.publish(topics[0], type, body, priority, exclude)
            return
        online, skip = self._online, len(USER_PREFIX)
        if online is not None:
            topics = [t for t in topics if not t.startswith(USER_PREFIX) or online(t[skip:])]
        node, conn = (SERVER_NODE, 0) if exclude is None else (exclude.node, exclude.conn)
        if topics:
            self._downlink.publish_many(node, [(topic, type, body, priority, conn) for topic in topics])

    async def close(self) -> None:
        """Wait until everything is published."""
        while self._task is not None:
            await asyncio.shield(self._task)
