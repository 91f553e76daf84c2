"""How badly it goes with an endpoint is handed on from reader to reader: restarts begin nothing anew."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from random import Random

import pytest

from control.outbox.delivery import NOTE_AGAIN_MS, NOTE_MS, Delivery, End, Tally, Task
from control.outbox.sink import Outcome, Verdict
from im_service.outbox.ports import Event, EventFilter
from im_service.outbox.trouble import NO_TROUBLE, from_note
from im_service.outbox.window import Rules
from tests.support.event_log import MemoryEventLog
from tests.support.im_world import TestClock
from tests.support.sdk_client import until
from tests.unit.control.outbox.test_delivery import MemoryLetters

HOUR = 3_600_000
DAYS3 = 72 * HOUR
AT_ONCE = Rules(first_ms=1, longest_ms=1)
"""It waits for the clock alone."""


class Scene:
    """An endpoint that answers as `verdict` says; each process has a clock that begins elsewhere."""

    def __init__(self) -> None:
        self.log = MemoryEventLog()
        self.letters = MemoryLetters()
        self.clock = TestClock()
        self.tally = Tally()
        self.verdict: Callable[[list[str]], Verdict] = lambda ids: Verdict.FAILED
        self.answers = 0
        """Bad ones, to one event alone"""

    async def send(self, events: Sequence[Event], again: str) -> Outcome:
        await asyncio.sleep(0)
        verdict = self.verdict([event.event_id for event in events])
        self.answers += verdict is not Verdict.DELIVERED and len(events) == 1
        return Outcome(verdict, "because")

    async def close(self) -> None:
        return

    def reader(self, begun: int = 0) -> Delivery:
        self.clock.elapsed = Random(self.answers).randrange(100 * HOUR)
        task = Task("shop", "endpoint.shop", EventFilter(), 10, "c0", begun=begun)
        return Delivery(
            task, self, self.log, self.letters, self.clock, self.tally,
            rules=AT_ONCE, disable_after_ms=DAYS3,
        )  # fmt: skip

    async def answered_again(self, task: asyncio.Task[End], ms: int) -> None:
        """This much later, after one bad answer more."""
        before = self.answers
        self.clock.advance(ms)
        await until(lambda: self.answers > before or task.done())

    @property
    def failing_ms(self) -> int | None:
        return from_note(self.log.kept["endpoint.shop"].note, 0).failing_ms


@asynccontextmanager
async def life(delivery: Delivery, *, killed: bool = False) -> AsyncIterator[asyncio.Task[End]]:
    """`killed`: as by kill -9, nothing more is written."""
    task = asyncio.create_task(delivery.run())
    try:
        yield task
        if killed:
            delivery._keep = _lost
        await asyncio.sleep(0)
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def end(task: asyncio.Task[End]) -> End:
    await until(task.done)
    return task.result()


async def _lost(now: bool = False) -> None:
    return


async def test_restarted_every_hour_it_is_disabled_after_three_days_all_the_same() -> None:
    scene = Scene()
    scene.log.put("message.single", "s/1")
    for hours in range(1, 73):
        async with life(scene.reader()) as task:
            await scene.answered_again(task, 0)
            assert not task.done(), f"after {hours - 1} h"
            await scene.answered_again(task, HOUR)
            if hours == 72:
                assert "no good answer for 3 days" in (await end(task)).reason
    assert not scene.letters.kept


async def test_a_refused_event_is_a_dead_letter_after_a_day_of_restarts() -> None:
    scene = Scene()
    scene.log.put("message.single", "s/1")
    scene.verdict = lambda ids: Verdict.REFUSED if "e1" in ids else Verdict.DELIVERED
    for hours in range(1, 25):
        scene.log.put("message.single", "s/2")
        async with life(scene.reader()) as task:
            await scene.answered_again(task, 0)
            assert not scene.letters.kept, f"after {hours - 1} h"
            await scene.answered_again(task, HOUR // 2)
            await scene.answered_again(task, HOUR // 2)
            if hours == 24:
                await until(lambda: bool(scene.letters.kept))
                await until(lambda: scene.log.kept["endpoint.shop"].cursor == "c25")
    assert [letter.event_id for letter in scene.letters.kept] == ["e1"]
    assert scene.log.kept["endpoint.shop"].note == b"", "nothing is left of it"


async def test_killed_a_process_leaves_little_uncounted() -> None:
    scene = Scene()
    scene.log.put("message.single", "s/1")
    async with life(scene.reader(), killed=True) as task:
        await scene.answered_again(task, 0)
        await scene.answered_again(task, NOTE_MS)
        await until(lambda: scene.failing_ms is not None)
        revision = scene.log.kept["endpoint.shop"].revision
        for _ in range(NOTE_AGAIN_MS // NOTE_MS - 1):
            await scene.answered_again(task, NOTE_MS)
        assert scene.log.kept["endpoint.shop"].revision == revision, "it only lasts"
        await scene.answered_again(task, NOTE_MS)
        await until(lambda: scene.failing_ms == NOTE_MS + NOTE_AGAIN_MS)
        await scene.answered_again(task, NOTE_MS)
    assert scene.failing_ms == NOTE_MS + NOTE_AGAIN_MS


async def test_a_good_answer_ends_it_for_whoever_comes_next() -> None:
    scene = Scene()
    scene.log.put("message.single", "s/1")
    async with life(scene.reader()) as task:
        await scene.answered_again(task, 0)
        await scene.answered_again(task, 71 * HOUR)
    assert scene.failing_ms == 71 * HOUR
    scene.verdict = lambda ids: Verdict.DELIVERED
    async with life(scene.reader()):
        await until(lambda: scene.log.kept["endpoint.shop"].cursor == "c1")
    assert scene.failing_ms is None
    scene.log.put("message.single", "s/1")
    scene.verdict = lambda ids: Verdict.FAILED
    async with life(scene.reader()) as task:
        await scene.answered_again(task, 0)
        await scene.answered_again(task, 71 * HOUR)
        assert not task.done()


async def test_what_nobody_ran_for_is_not_counted_and_the_wall_clock_does_not_matter() -> None:
    """Paused for a month, switched off for a month, or the clock set."""
    scene = Scene()
    scene.log.put("message.single", "s/1")
    for wall in (30 * 24 * HOUR, -60 * 24 * HOUR):
        async with life(scene.reader()) as task:
            await scene.answered_again(task, 0)
            await scene.answered_again(task, HOUR)
            assert not task.done()
        scene.clock.ms += wall
    assert scene.failing_ms == 2 * HOUR


async def test_judged_anew_it_has_its_days_again_and_by_the_same_measure_it_has_not() -> None:
    scene = Scene()
    scene.log.put("message.single", "s/1")
    async with life(scene.reader()) as task:
        await scene.answered_again(task, 0)
        await scene.answered_again(task, DAYS3)
        assert (await end(task)).kind == "disabled"
    async with life(scene.reader()) as task:  # that it is disabled could not be said
        await scene.answered_again(task, 0)
        assert (await end(task)).kind == "disabled"
    async with life(scene.reader(begun=7)) as task:
        await scene.answered_again(task, 0)
        await scene.answered_again(task, DAYS3 - 1)
        assert not task.done()


@pytest.mark.parametrize("note", [b"{", b'{"begun": -1}', b'{"refused": {"e1": 3}}', b"\xff" * 100])
async def test_a_note_of_another_version_stops_nobody(note: bytes) -> None:
    scene = Scene()
    scene.verdict = lambda ids: Verdict.DELIVERED
    scene.log.put("message.single", "s/1")
    await scene.log.commit("endpoint.shop", "c0", 0, note)
    async with life(scene.reader()):
        await until(lambda: scene.log.kept["endpoint.shop"].cursor == "c1")
    assert from_note(scene.log.kept["endpoint.shop"].note, 0) == NO_TROUBLE


async def test_trouble_that_cannot_be_noted_now_is_noted_later() -> None:
    scene = Scene()
    scene.log.put("message.single", "s/1")
    async with life(scene.reader(), killed=True) as task:
        await scene.answered_again(task, 0)
        scene.log.broken = True
        await scene.answered_again(task, NOTE_MS)
        assert scene.failing_ms is None
        scene.log.broken = False
        await scene.answered_again(task, NOTE_MS)
        await until(lambda: scene.failing_ms is not None)
