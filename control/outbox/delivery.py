"""One reader of the event log that gives what it reads to one sink: read, send, keep the place.

Rules of order and of waiting are the window's (im_service/outbox/window.py); here is its I/O. A place is
kept in a consumer group of the log, after what lies before it was delivered or kept as a dead letter, and
with it how badly it goes, for the next reader (im_service/outbox/trouble.py). A commit that finds another's,
since this process was taken for dead, ends the reader: the other goes on.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Sequence
from random import Random
from typing import NamedTuple, Protocol

import msgspec
from msgspec import Struct

from control.logs import get_logger
from control.outbox.sink import Outcome, Sink, Verdict
from control.outbox.tidings import EventWriter, first_letter
from im_service.outbox.kinds.copy import CopyGap, subject_of
from im_service.outbox.ports import (
    ConsumerGroup,
    Cursor,
    CursorGone,
    CursorInvalid,
    Event,
    EventFilter,
    EventLog,
    GroupTaken,
)
from im_service.outbox.trouble import NO_TROUBLE, Trouble, from_note, to_note
from im_service.outbox.window import STANDARD, Held, Rules, Window
from im_service.ports import Clock
from im_service.storage.engine import telling
from im_service.storage.errors import StoreError
from im_service.storage.records import DeadLetter as Letter

log = get_logger("outbox")

PAGE = 200
IDLE_S = 5.0
"""A wait for events is that long; then somebody looks anew."""
KEEP_S = 0.5
"""Between two commits of a place while it moves. Beyond: what was delivered since comes again."""
NOTE_MS, NOTE_AGAIN_MS = 5_000, 60_000
"""Between two looks whether the trouble is another one, and between two notes that it lasts. Beyond:
a process that is killed leaves so much of it uncounted."""
AGAIN_S = 1.0
"""After the store did not answer."""
STOP_S = 2.0
"""For requests under way when a reader stops. Beyond: given up, they come again."""
SHOWN_BYTES = 4096
RECENT = 50
LETTERS_MOST = 1_000
"""Of one endpoint. Beyond: it is disabled, as it is not fit for what it gets."""


class Letters(EventWriter, Protocol):
    async def bury(self, letter: Letter) -> int:
        """Keep it, durably, once; how many this endpoint has now. StoreError."""
        ...


class Sent(Struct, kw_only=True):
    """One request, for people to look at."""

    time_ms: int
    took_ms: int
    verdict: str
    status: int
    reason: str
    events: int
    first_event: str
    last_event: str
    replay: bool
    request: str
    answer: str


class Tally:
    """What became of the requests to one endpoint, for metrics and people. Its reader may change."""

    def __init__(self) -> None:
        self.recent: deque[Sent] = deque(maxlen=RECENT)
        self.delivered = self.letters = self.gaps = 0
        self.requests: dict[str, int] = {verdict.value: 0 for verdict in Verdict}


class End(NamedTuple):
    """Why a reader ended. `disabled`: the endpoint is not to be asked any more; `done`: a replay is."""

    kind: str
    reason: str = ""


class Task(NamedTuple):
    """What a reader reads: `begin` where its group has no place yet, `beyond` what is past its end,
    `again` of which replay it is. `begun`: since when the endpoint is judged."""

    name: str
    group: str
    wanted: EventFilter
    batch: int
    begin: Cursor | None = None
    beyond: Callable[[Cursor], bool] | None = None
    again: str = ""
    begun: int = 0


class Delivery:
    """`run` until it ends or is cancelled; then `close`. `disable_after_ms`: without any good answer."""

    def __init__(
        self,
        task: Task,
        sink: Sink,
        events: EventLog,
        letters: Letters,
        clock: Clock,
        tally: Tally,
        *,
        rules: Rules = STANDARD,
        disable_after_ms: int = 3 * 86_400_000,
        random: Random | None = None,
    ) -> None:
        self._task = task
        self._own = subject_of(task.name)  # what is said of it: it is not given its own failures
        self._sink = sink
        self._log = events
        self._store = letters
        self._clock = clock
        self.tally = tally
        self._rules = rules
        self._disable_after_ms = disable_after_ms
        self._random = random or Random()
        self._wake = asyncio.Event()
        self._sends: set[asyncio.Task[None]] = set()
        self._kept: ConsumerGroup | None = None
        self._keep_at = 0.0
        self._noted = NO_TROUBLE
        self._noted_at = self._look_at = 0
        self._read_all = False
        self._end: End | None = None
        self.window: Window | None = None

    @property
    def place(self) -> Cursor | None:
        """Up to where everything is done."""
        return None if self.window is None else self.window.low

    async def run(self) -> End:
        await self._begin()
        reader = asyncio.create_task(self._read(), name=f"events of {self._task.name}")
        try:
            while self._end is None:
                self._wake.clear()
                self._send()
                await self._keep()
                if self._end is None:
                    await self._wait(reader)
            return self._end
        finally:
            reader.cancel()
            await asyncio.gather(reader, return_exceptions=True)
            await self._finish()

    # -- the place

    async def _begin(self) -> None:
        while True:
            try:
                self._kept = await self._log.group(self._task.group)
                if self._kept is None:
                    begin = self._task.begin if self._task.begin is not None else await self._log.head()
                    self._kept = await self._log.commit(self._task.group, begin, 0)
            except GroupTaken:
                continue
            except StoreError as error:
                log.warning("an endpoint waits for the store", endpoint=self._task.name, reason=str(error))
                await asyncio.sleep(AGAIN_S)
                continue
            self._noted = self._known(self._kept.note)
            self._noted_at = self._look_at = self._clock.elapsed_ms()
            self.window = Window(
                self._kept.cursor, self._task.batch, self._rules, self._random.random, self._noted
            )
            return

    def _known(self, note: bytes) -> Trouble:
        try:
            return from_note(note, self._task.begun)
        except ValueError as error:
            log.warning("how long it goes badly begins anew", endpoint=self._task.name, reason=str(error))
            return NO_TROUBLE

    def _news(self, now: bool) -> bool:
        """How badly it goes is another thing than what is noted."""
        at = self._clock.elapsed_ms()
        if not now and at < self._look_at:
            return False
        self._look_at = at + NOTE_MS
        trouble = self._window.trouble(at)
        if trouble == self._noted:
            return False
        return now or not trouble.like(self._noted) or at - self._noted_at >= NOTE_AGAIN_MS

    async def _keep(self, now: bool = False) -> None:
        window, kept = self._window, self._kept
        assert kept is not None
        moved, done = window.low != kept.cursor, self._read_all and not window.open
        if done and not moved:
            self._end = End("done")
            return
        if not (moved and (now or done or time.monotonic() >= self._keep_at)) and not self._news(now):
            return
        at = self._clock.elapsed_ms()
        trouble = window.trouble(at)
        note = to_note(trouble, self._task.begun)
        try:
            self._kept = await self._log.commit(self._task.group, window.low, kept.revision, note)
            self._noted, self._noted_at = trouble, at
        except GroupTaken as error:
            self._end = End("taken", str(error))
            return
        except StoreError as error:
            log.warning("a place is kept later", endpoint=self._task.name, reason=str(error))
        self._keep_at = time.monotonic() + KEEP_S
        if self._read_all:
            self._wake.set()

    # -- what comes in

    async def _read(self) -> None:
        while not self._read_all:
            window = self._window
            if not (room := window.room):
                await asyncio.sleep(KEEP_S / 10)
                continue
            try:
                page = await self._log.read(window.read, min(room, PAGE), self._task.wanted)
            except CursorGone as gone:
                self._missed(gone)
                continue
            except CursorInvalid as error:
                self._end = End("disabled", f"its place in the log cannot be read: {error}")
                self._wake.set()
                return
            except StoreError:
                await asyncio.sleep(AGAIN_S)
                continue
            events = [event for event in page.events if event.subject != self._own]
            beyond = self._task.beyond
            if beyond is not None:
                within = [event for event in events if not beyond(event.cursor)]
                self._read_all = len(within) < len(events) or beyond(page.next) or not page.more
                events = within
            if events or page.next != window.read or self._read_all:
                window.add([(event, _size(event)) for event in events], page.next)
                self._wake.set()
            if not events and not page.more:
                await self._log.wait(window.read, IDLE_S)

    def _missed(self, gone: CursorGone) -> None:
        """Told to the receiver, as an event."""
        self.tally.gaps += 1
        log.error("events expired before an endpoint had them", endpoint=self._task.name, reason=gone.reason)
        now = self._clock.now_ms()
        told = CopyGap(reason=gone.reason)
        subject = subject_of(self._task.name)
        event = Event(f"gap-{now}", told.KIND, now, subject, None, msgspec.to_builtins(told), gone.go_on)
        self._window.add([(event, _size(event))], gone.go_on)
        self._wake.set()

    # -- what goes out

    def _send(self) -> None:
        now = self._clock.elapsed_ms()
        while batch := self._window.take(now):
            sending = asyncio.create_task(self._give(batch), name=f"to {self._task.name}")
            self._sends.add(sending)
            sending.add_done_callback(self._sent)
        if (item := self._window.in_the_way(now)) is not None:
            sending = asyncio.create_task(self._bury(item, "others had to wait for it"))
            self._sends.add(sending)
            sending.add_done_callback(self._sent)

    def _sent(self, sending: asyncio.Task[None]) -> None:
        self._sends.discard(sending)
        self._wake.set()
        if not sending.cancelled() and (error := sending.exception()) is not None:
            log.error("a delivery failed within", endpoint=self._task.name, exc_info=error)
            self._end = self._end or End("broken", str(error))

    async def _give(self, batch: list[Held]) -> None:
        events = [item.event for item in batch if item.event is not None]
        began = time.monotonic()
        try:
            outcome = await self._sink.send(events, self._task.again)
        except asyncio.CancelledError:
            self._window.put_back(batch)
            raise
        self._note(events, outcome, time.monotonic() - began)
        now = self._clock.elapsed_ms()
        window = self._window
        match outcome.verdict:
            case Verdict.DELIVERED:
                self.tally.delivered += len(batch)
                window.delivered(batch)
            case Verdict.REFUSED:
                if window.refused(batch, now):
                    await self._bury(batch[0], outcome.reason)
            case Verdict.FAILED:
                if window.failed(batch, now, outcome.after_ms):
                    await self._bury(batch[0], outcome.reason)
            case _:
                window.put_back(batch)
                if outcome.verdict is Verdict.GONE:
                    self._end = End("disabled", f"it wants no more events ({outcome.reason})")
        since = window.failing_since
        if window.doubtful and since is not None and now - since >= self._disable_after_ms:
            days = self._disable_after_ms / 86_400_000
            self._end = self._end or End("disabled", f"no good answer for {days:g} days: {outcome.reason}")

    async def _bury(self, item: Held, reason: str) -> None:
        event = item.event
        assert event is not None
        letter = Letter(
            self._task.name, event.event_id, event.kind, event.subject, item.before,
            reason[:200], self._clock.now_ms(),
        )  # fmt: skip
        try:
            with telling(first_letter(letter)):
                kept = await self._store.bury(letter)
        except StoreError as error:
            log.warning("a dead letter is kept later", endpoint=self._task.name, reason=str(error))
            self._window.unburied(item, self._clock.elapsed_ms() + int(AGAIN_S * 1000))
            return
        self.tally.letters += 1
        log.warning(
            "an event was given up", endpoint=self._task.name, event_id=letter.event_id, reason=letter.reason
        )
        self._window.buried(item)
        if kept >= LETTERS_MOST:
            self._end = self._end or End("disabled", f"{kept} events were refused ({reason})")

    def _note(self, events: Sequence[Event], outcome: Outcome, took_s: float) -> None:
        self.tally.requests[outcome.verdict.value] += 1
        self.tally.recent.append(Sent(
            time_ms=self._clock.now_ms(), took_ms=int(took_s * 1000), verdict=outcome.verdict.value,
            status=outcome.status, reason=outcome.reason[:300], events=len(events),
            first_event=events[0].event_id, last_event=events[-1].event_id, replay=bool(self._task.again),
            request=_text(outcome.request), answer=_text(outcome.answer),
        ))  # fmt: skip

    # -- waiting and ending

    async def _wait(self, reader: asyncio.Task[None]) -> None:
        at = self._window.wakes_at()
        timeout = IDLE_S if at is None else min(IDLE_S, max(0.0, (at - self._clock.elapsed_ms()) / 1000))
        if self._kept is not None and self._window.low != self._kept.cursor:
            timeout = min(timeout, max(0.0, self._keep_at - time.monotonic()))
        woken = asyncio.create_task(self._wake.wait())
        try:
            watched = {woken} if reader.done() and self._read_all else {woken, reader}
            await asyncio.wait(watched, timeout=timeout + 0.001, return_when=asyncio.FIRST_COMPLETED)
        finally:
            woken.cancel()
        if reader.done() and not self._read_all and self._end is None:
            reader.result()
            self._end = End("broken", "its reader ended")

    async def _finish(self) -> None:
        """What is under way may still be answered; then the place is kept."""
        if self._sends:
            await asyncio.wait(self._sends, timeout=STOP_S)
        for sending in list(self._sends):
            sending.cancel()
        await asyncio.gather(*self._sends, return_exceptions=True)
        await self._sink.close()
        if self._end is None or self._end.kind != "taken":
            end = self._end
            await self._keep(now=True)
            self._end = end

    @property
    def _window(self) -> Window:
        assert self.window is not None
        return self.window


def _size(event: Event) -> int:
    return 200 + len(msgspec.json.encode(event.data))


def _text(content: bytes) -> str:
    cut = content[:SHOWN_BYTES].decode("utf-8", "replace")
    return cut if len(content) <= SHOWN_BYTES else f"{cut}... ({len(content)} bytes)"
