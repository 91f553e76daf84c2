"""Work that no request asks for: receipt counts go out, what no view shows any more goes away, what nobody
decided about in time is decided."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence

from im_service.context import ServiceContext
from im_service.conversation.receipts import Receipts
from im_service.outbox.ports import EventLog, Lag
from im_service.outbox.succession import BEAT_MS, LOOK_MS, Succession
from im_service.reviews.decisions import Decisions
from im_service.storage.errors import StoreError
from im_service.storage.records import Limits

_log = logging.getLogger("qianwan.im")
DAY_MS = 86_400_000
START_SLACK_MS = DAY_MS
"""Time in which no server ran, that deletion believes at once."""
SLACK_MS = 300_000
"""The same while one runs: steps of NTP, and the pause between two sweeps."""
LAPSE_EVERY_MS = 1000
"""How late a verdict may be that comes by itself: an index says at once that there is none."""
BELIEVED_MS = 7 * DAY_MS
"""A clock that is ahead and stays there so long is right after all."""


class AgeClock:
    """The time that deletion by age goes by. It never runs ahead of the time that has passed, so that a clock
    which was ahead for a while deletes nothing (docs/decisions/0020)."""

    def __init__(self, context: ServiceContext) -> None:
        self._store = context.store
        self._clock = context.clock
        self._slack_ms = START_SLACK_MS
        self._running_slack_ms = max(SLACK_MS, 2 * context.settings.expire_every_ms)
        self._looked_ms = context.clock.elapsed_ms()
        self._last_ms = 0
        self._ahead_since_ms = 0
        self.ahead_ms = 0
        """How far the machine's clock is ahead of this one; 0 while it is believed."""

    async def now_ms(self) -> int:
        now, tick = self._clock.now_ms(), self._clock.elapsed_ms()
        believed = self.ahead_ms and tick - self._ahead_since_ms >= BELIEVED_MS
        slack = now if believed else self._slack_ms
        age = await self._store.age_clock(now, tick - self._looked_ms, self._last_ms, slack)
        self._looked_ms, self._last_ms, self._slack_ms = tick, age, self._running_slack_ms
        self._tell(now - age, tick)
        return age

    def _tell(self, ahead_ms: int, tick: int) -> None:
        if ahead_ms and not self.ahead_ms:
            self._ahead_since_ms = tick
            _log.warning(
                "the clock is %d s ahead of the time that passed: nothing is deleted by that clock"
                " until it is right again, or has stayed so for %d days",
                ahead_ms // 1000,
                BELIEVED_MS // DAY_MS,
            )
        elif self.ahead_ms and not ahead_ms:
            _log.warning("deletion by age goes by the clock again")
        self.ahead_ms = ahead_ms


class CopyUpkeep:
    """Rows of the durable copy go by age and by what they take together, whoever has read them; how far its
    readers are behind is looked at as often."""

    def __init__(self, context: ServiceContext, log: EventLog) -> None:
        self._store = context.store
        self._settings = context.settings
        self._log = log
        self.size = 0
        self.cut = 0
        """How often rows went before their time."""
        self.behind: Lag | None = None
        """Of the group that is the furthest behind in each; None: nobody has looked yet."""

    async def expire(self, now: int) -> int:
        """-> rows removed"""
        copy, removed = self._settings.copy, 0
        volume = await self._store.event_volume(copy.keep_bytes)
        self.size = volume.size
        if volume.cut:
            self.cut += 1
            _log.warning(
                "events take more than %d bytes: the oldest go before their time, unread ones too",
                copy.keep_bytes,
            )
        while count := await self._store.expire_events(
            now - copy.keep_ms, volume.cut, self._settings.expire_rows
        ):
            removed += count
        lags = [await self._log.lag(group.cursor) for group in await self._log.groups()]
        self.behind = Lag(
            max((lag.events for lag in lags), default=0), max((lag.seconds for lag in lags), default=0.0)
        )
        return removed

    def stats(self) -> dict[str, int]:
        found = {"events_bytes": self.size, "events_cut_total": self.cut}
        if self.behind is not None:
            found |= {"events_lag": self.behind.events, "events_lag_seconds": int(self.behind.seconds)}
        return found


class Upkeep:
    """The background tasks of one service."""

    def __init__(
        self,
        context: ServiceContext,
        receipts: Receipts,
        decisions: Decisions,
        log: EventLog,
        successions: Sequence[Succession],
    ) -> None:
        self._store = context.store
        self._settings = context.settings
        self._receipts = receipts
        self._decisions = decisions
        self._successions = tuple(successions)
        self._tasks: list[asyncio.Task[None]] = []
        self._trimmed: int | None = 0
        self.age_clock = AgeClock(context)
        self.copies = CopyUpkeep(context, log)

    def start(self) -> None:
        """Begin, on the running loop."""
        settings = self._settings
        self._tasks = [
            asyncio.create_task(self._every(settings.receipt_flush_ms, self._receipts.flush)),
            asyncio.create_task(self._every(settings.expire_every_ms, self.expire)),
            asyncio.create_task(self._every(settings.expire_every_ms, self.trim)),
            asyncio.create_task(self._every(LAPSE_EVERY_MS, self._decisions.lapse)),
            *(asyncio.create_task(self._every(BEAT_MS, each.beat)) for each in self._successions),
            *(asyncio.create_task(self._every(LOOK_MS, each.look)) for each in self._successions),
        ]

    async def _every(self, period_ms: int, work: Callable[[], Awaitable[object]]) -> None:
        while True:
            await asyncio.sleep(period_ms / 1000)
            try:
                await work()
            except StoreError as error:
                _log.warning("background work waits for the store: %s", error)
            except Exception:
                _log.exception("background work failed, going on")

    async def expire(self) -> int:
        """Remove what no view can show any more, in small steps so that sends go between. -> rows removed."""
        keep = self._settings.retention
        limits = Limits(keep.offline_ms, keep.roam_ms, keep.history_ms)
        removed, now = 0, await self.age_clock.now_ms()
        while count := await self._store.expire(now, limits, self._settings.expire_rows):
            removed += count
        return removed + await self.copies.expire(now)

    async def trim(self) -> None:
        """Once in the life of a process: devices that an earlier version or a larger setting left. Logins
        keep to the number themselves."""
        while self._trimmed is not None:
            settings = self._settings
            self._trimmed = await self._store.trim_devices(
                self._trimmed, settings.devices_per_user, settings.expire_rows
            )

    async def stop(self) -> None:
        """End the tasks; one that is at work is cut off."""
        tasks, self._tasks = self._tasks, []
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
