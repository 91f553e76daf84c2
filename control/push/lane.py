"""The way to one vendor: a bounded queue, so many requests at once, retries, a breaker.

    offer -> ready ---> flying ---> sent | gone | refused
               ^           |
               +-- later <-+ failed, 429       (until `tries` or `patience_s` is used up: given up)

What stands in a lane delays nobody in another one. Of one notification at one device (its collapse id) one
request is under way at a time, so that what replaces a push comes after it.
"""

from __future__ import annotations

import asyncio
import heapq
from collections import Counter, deque
from collections.abc import Callable, Sequence
from itertools import count
from random import Random
from typing import NamedTuple

from control.logs import get_logger
from control.outgoing.breaker import Breaker
from control.push.vendor import Outcome, Vendor
from im_service.ports import Clock
from im_service.push.ports import Done, Push, nobody_waits
from im_service.storage.records import PushToken

log = get_logger("push")

Where = tuple[PushToken, str]
"""A notification at a device."""
FIRST_S, LONGEST_S = 0.5, 60.0
"""Pause before the second try, doubled with each one; longer ones that a vendor asks for are cut to this."""
WELL_MS = 5_000
POLL_S = 0.25
"""While the breaker is open, whether it is half open is looked at so often."""


class Bounds(NamedTuple):
    queue: int = 20_000
    at_once: int = 200
    tries: int = 6
    patience_s: float = 600.0


class Job:
    """One push on its way."""

    __slots__ = ("cancelled", "done", "push", "since_ms", "tries")

    def __init__(self, push: Push, since_ms: int, done: Done) -> None:
        self.push = push
        self.done = done
        self.since_ms = since_ms
        self.tries = 0
        self.cancelled = False

    @property
    def where(self) -> Where:
        return self.push.to, self.push.collapse


class Lane:
    """Pushes to one vendor. `gone` hears of tokens that are over."""

    def __init__(
        self,
        vendor: Vendor,
        clock: Clock,
        bounds: Bounds,
        gone: Callable[[PushToken], None],
        rng: Random,
    ) -> None:
        self.vendor = vendor
        self.breaker = Breaker()
        self.counts: Counter[tuple[str, str]] = Counter()  # (vendor as devices call it, outcome)
        self.retries = 0
        self.took_ms = 0
        self._answered_ms = -WELL_MS
        self._clock = clock
        self._bounds = bounds
        self._gone = gone
        self._rng = rng
        self._ready: deque[Job] = deque()
        self._later: list[tuple[int, int, Job]] = []
        self._numbers = count()
        self._flying: dict[Where, deque[Job]] = {}  # and what waits behind it
        self._behind = 0
        self._by_message: dict[int, set[Job]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._stopped = False

    @property
    def waiting(self) -> int:
        """Pushes that no vendor has said yes or no to."""
        return len(self._ready) + len(self._later) + len(self._flying) + self._behind

    @property
    def open(self) -> bool:
        return self.breaker.state(self._clock.elapsed_ms()) == "open"

    def offer(self, push: Push, done: Done = nobody_waits) -> None:
        """Above its bound the lane drops what comes, counted."""
        if self._stopped or self.waiting >= self._bounds.queue:
            self._count(push, "dropped")
            if not self._stopped:
                done()
            return
        job = Job(push, self._clock.elapsed_ms(), done)
        self._by_message.setdefault(push.server_id, set()).add(job)
        self._ready.append(job)
        self._fly()

    def cancel(self, server_id: int) -> set[PushToken]:
        """-> devices that never hear of the message; of others nobody knows, or it is under way."""
        unheard: set[PushToken] = set()
        for job in self._by_message.get(server_id, ()):
            if job.push.recalls or self._under_way(job):
                continue
            job.cancelled = True
            if not job.tries:
                unheard.add(job.push.to)
        return unheard

    def _under_way(self, job: Job) -> bool:
        line = self._flying.get(job.where)
        return line is not None and line[0] is job

    def _fly(self) -> None:
        """As many as may be under way, and while the breaker lets them."""
        while self._ready and len(self._flying) < self._bounds.at_once:
            job = self._ready[0]
            if self._over(job):
                self._ready.popleft()
                continue
            if (line := self._flying.get(job.where)) is not None:
                self._ready.popleft()
                line.append(job)
                self._behind += 1
                continue
            permit = self.breaker.admit(self._clock.elapsed_ms())
            if not permit:
                self._look_again(POLL_S)
                return
            self._ready.popleft()
            self._flying[job.where] = deque([job])
            task = asyncio.get_running_loop().create_task(self._send(job, permit))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    def _over(self, job: Job) -> bool:
        """It was taken back, or nobody waits for it any more."""
        if job.cancelled:
            self._end(job, "cancelled")
            return True
        if self._clock.elapsed_ms() - job.since_ms > self._bounds.patience_s * 1000:
            self._end(job, "given_up")
            return True
        return False

    async def _send(self, job: Job, permit: int) -> None:
        began = self._clock.elapsed_ms()
        job.tries += 1
        good: bool | None = None
        try:
            outcome = await self.vendor.send(job.push)
            good = self._judged(outcome)
        except Exception as error:
            log.exception("a push failed", vendor=job.push.to.vendor)
            outcome = Outcome("refused", repr(error))
        finally:
            now = self._clock.elapsed_ms()
            self.breaker.done(permit, good, now)
            self.took_ms += now - began
        self._landed(job, outcome)
        self._fly()

    def _judged(self, outcome: Outcome) -> bool | None:
        """For the breaker. A vendor that ends a connection (GOAWAY) fails all that is under way on it, and is
        well: it answered a moment ago."""
        now = self._clock.elapsed_ms()
        if outcome.kind == "later":
            return None
        if outcome.kind != "failed":
            self._answered_ms = now
            return True
        return None if outcome.broken and now - self._answered_ms < WELL_MS else False

    def _landed(self, job: Job, outcome: Outcome) -> None:
        line = self._flying.pop(job.where)
        line.popleft()
        self._behind -= len(line)
        self._ready.extendleft(reversed(line))
        if outcome.kind in ("later", "failed") and not job.cancelled:
            if job.tries < self._bounds.tries and not self._stopped:
                self._again(job, outcome)
                return
            log.warning(
                "a push was given up", vendor=job.push.to.vendor, reason=outcome.text, tries=job.tries
            )
            self._end(job, "given_up")
            return
        if outcome.kind == "gone":
            self._gone(job.push.to)
        elif outcome.kind == "refused":
            log.warning("a push was refused", vendor=job.push.to.vendor, reason=outcome.text)
        self._end(job, "given_up" if outcome.kind in ("later", "failed") else outcome.kind)

    def _again(self, job: Job, outcome: Outcome) -> None:
        """After what the vendor said, or with full jitter between the half and the whole of a pause."""
        self.retries += 1
        pause = min(FIRST_S * 2 ** (job.tries - 1), LONGEST_S)
        pause = max(pause * (0.5 + self._rng.random() / 2), min(outcome.after_s, LONGEST_S))
        due = self._clock.elapsed_ms() + int(pause * 1000)
        heapq.heappush(self._later, (due, next(self._numbers), job))
        self._look_again(pause)

    def _look_again(self, seconds: float) -> None:
        loop = asyncio.get_running_loop()
        if self._stopped:
            return
        if self._timer is not None:
            if self._timer.when() <= loop.time() + seconds:
                return
            self._timer.cancel()
        self._timer = loop.call_later(seconds, self._looked)

    def _looked(self) -> None:
        self._timer = None
        now = self._clock.elapsed_ms()
        while self._later and self._later[0][0] <= now:
            self._ready.append(heapq.heappop(self._later)[2])
        if self._later:
            self._look_again(max((self._later[0][0] - now) / 1000, 0.01))
        self._fly()

    def _end(self, job: Job, outcome: str) -> None:
        self._count(job.push, outcome)
        jobs = self._by_message[job.push.server_id]
        jobs.discard(job)
        if not jobs:
            del self._by_message[job.push.server_id]
        if not self._stopped:
            job.done()

    def _count(self, push: Push, outcome: str) -> None:
        self.counts[push.to.vendor, outcome] += 1

    async def drained(self, seconds: float) -> None:
        """Until nothing waits, or the time is over. What waits for another try is not waited for."""
        until = asyncio.get_running_loop().time() + seconds
        while self._tasks and (left := until - asyncio.get_running_loop().time()) > 0:
            await asyncio.wait(self._tasks, timeout=left, return_when=asyncio.FIRST_COMPLETED)

    async def stop(self) -> None:
        """What is under way is cut off; what waits is counted as given up, and not done."""
        self._stopped = True
        if self._timer is not None:
            self._timer.cancel()
        tasks: Sequence[asyncio.Task[None]] = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for jobs in list(self._by_message.values()):
            for job in list(jobs):
                self._end(job, "given_up")
