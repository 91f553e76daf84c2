"""A trail of a running process: lines of all requests at once go to the disk together."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import msgspec

from control.audit.entry import APPS, BEGUN, DONE, OPERATORS, REFUSALS, TRAILS, Ids, Place, Words
from control.audit.log import AuditLog, AuditUnavailable
from control.logs import get_logger
from control.part import Part, Source
from control.settings import Settings

log = get_logger("audit")

WAITING = 10_000
"""Lines that wait for the disk at most. Beyond: refused, as on a full one."""
BATCH = 500
REFUSAL_S = 60.0
DAY_S = 86400
REFUSED_PART = 8
"""Of the room that the other trails have."""


@dataclass(slots=True)
class _Told:
    at: float
    last: Words
    more: int = 0


class Trail:
    """Writes lines to one log in the order of their coming. A thread waits for the disk."""

    def __init__(self, name: str, files: AuditLog) -> None:
        self.name = name
        self.files = files
        self._waiting: list[tuple[Words, asyncio.Future[Place]]] = []
        self._writing: asyncio.Task[None] | None = None
        self._thread = ThreadPoolExecutor(1, f"audit-{name}")
        self.written = 0
        self.lost = 0
        self.failing = False

    async def write(self, words: Words) -> Place:
        """The line is on the disk. Raises AuditUnavailable."""
        if len(self._waiting) >= WAITING:
            raise AuditUnavailable("too many lines wait for the disk")
        written = asyncio.get_running_loop().create_future()
        self._waiting.append((words, written))
        if self._writing is None or self._writing.done():
            self._writing = asyncio.create_task(self._write_all(), name=f"audit {self.name}")
        return await asyncio.shield(written)

    async def try_to_write(self, words: Words) -> None:
        """What was done stands, whether a line of it can be written or not; those missing are counted."""
        try:
            await self.write(words)
        except AuditUnavailable as error:
            self.lost += 1
            log.error("a change was not audited", trail=self.name, what=words.what, reason=str(error))

    @contextlib.asynccontextmanager
    async def change(self, words: Words) -> AsyncIterator[Words]:
        """A line before the body runs, without which it does not; and one of how it ended. The body may set
        `before`, `after`, `ids` and `outcome` of what it gets. Raises AuditUnavailable.
        """
        place = await self.write(msgspec.structs.replace(words, outcome=BEGUN))
        end = msgspec.structs.replace(words, outcome=DONE, begun=place.seq)
        try:
            yield end
        except BaseException as error:
            if end.outcome == DONE:
                end.outcome = f"failed {type(error).__name__}"
            raise
        finally:
            await self.try_to_write(end)

    async def stop(self) -> None:
        if self._writing is not None:
            await asyncio.gather(self._writing, return_exceptions=True)
        self._thread.shutdown(wait=False)

    async def _write_all(self) -> None:
        loop = asyncio.get_running_loop()
        while self._waiting:
            batch, self._waiting = self._waiting[:BATCH], self._waiting[BATCH:]
            try:
                places = await loop.run_in_executor(
                    self._thread, self.files.append, [words for words, _ in batch]
                )
            except Exception as error:
                self.failing = True
                for _, written in batch:
                    if not written.done():
                        written.set_exception(AuditUnavailable(str(error)))
                continue
            self.failing = False
            self.written += len(batch)
            for (_, written), place in zip(batch, places, strict=True):
                if not written.done():
                    written.set_result(place)


class Refusals:
    """What those tried who may not: of each key and operation one line at once, and one with how many more
    there were in the minute behind it. So neither the log nor the disk is theirs.
    """

    def __init__(self, trail: Trail, clock: Callable[[], float] = time.monotonic) -> None:
        self._trail = trail
        self._clock = clock
        self._told: dict[tuple[str, str], _Told] = {}

    async def tell(self, words: Words) -> None:
        told = self._told.get((words.who, words.what))
        if told is not None:
            told.more += 1
            told.last = words
            return
        self._told[words.who, words.what] = _Told(self._clock(), words)
        await self._trail.try_to_write(words)

    async def tick(self, period_s: float = REFUSAL_S) -> None:
        """Tell how many there were where the minute is over."""
        now = self._clock()
        for key in [key for key, told in self._told.items() if now - told.at >= period_s]:
            told = self._told.pop(key)
            if told.more:
                words = msgspec.structs.replace(told.last, ids=told.last.ids | {"times": told.more})
                await self._trail.try_to_write(words)


class Audit(Part):
    """The trails of a process. `operators` is written before a change is done, or it is not; `apps` after
    what app servers did, which a full disk does not forbid; `refusals` of those who may not.
    """

    def __init__(self, settings: Settings) -> None:
        self._trails = {name: Trail(name, make_log(settings, name)) for name in TRAILS}
        self.operators, self.apps = self._trails[OPERATORS], self._trails[APPS]
        self.refusals = Refusals(self._trails[REFUSALS])
        self._noting: set[asyncio.Task[None]] = set()

    def note(self, what: str, ids: Ids, after: int | None = None) -> None:
        """What a process did by itself, which no log forbids. `after`: the revision of the document."""
        words = Words(what=what, via="start", outcome=DONE, ids=ids, after=after)
        task = asyncio.get_running_loop().create_task(self.operators.try_to_write(words), name=f"note {what}")
        self._noting.add(task)
        task.add_done_callback(self._noting.discard)

    async def tick(self) -> None:
        await self.refusals.tick()

    async def stop(self, grace_s: float) -> None:
        await self.refusals.tick(0.0)
        await asyncio.gather(*self._noting)
        for trail in self._trails.values():
            await trail.stop()

    def trail(self, name: str) -> Trail:
        return self._trails[name]

    def sources(self) -> Mapping[str, Source]:
        return {"audit": self._stats}

    def _stats(self) -> dict[str, int]:
        found: dict[str, int] = {}
        for trail in self._trails.values():
            found[f"{trail.name}_entries_total"] = trail.written
            found[f"{trail.name}_lost_total"] = trail.lost
            found[f"{trail.name}_failing"] = int(trail.failing)
            with contextlib.suppress(OSError):
                found[f"{trail.name}_bytes"] = trail.files.size()
        return found


def make_log(settings: Settings, trail: str) -> AuditLog:
    assert trail in TRAILS
    kept, segment = settings.audit.kept_bytes, settings.audit.segment_bytes
    if trail == REFUSALS:
        kept, segment = kept // REFUSED_PART, segment // REFUSED_PART
    days = settings.audit.kept_days if trail == OPERATORS else 0
    return AuditLog(settings.server.data_dir / "audit" / trail, kept, segment, kept_s=days * DAY_S)


@contextlib.contextmanager
def audited_command(settings: Settings, words: Words) -> Iterator[Words]:
    """The same for a command that changes files of the data folder, in no event loop."""
    files = make_log(settings, OPERATORS)
    (place,) = files.append([msgspec.structs.replace(words, outcome=BEGUN)])
    end = msgspec.structs.replace(words, outcome=DONE, begun=place.seq)
    try:
        yield end
    except BaseException as error:
        end.outcome = f"failed {type(error).__name__}"
        raise
    finally:
        files.append([end])
