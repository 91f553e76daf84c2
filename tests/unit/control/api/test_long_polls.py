"""Requests that wait take no connection that others need."""

from __future__ import annotations

import asyncio
from contextlib import ExitStack

import msgspec
import pytest

from control.api.admin.table import ROUTES
from control.api.long_polls import LongPolls
from control.api.table import OPERATIONS
from im_service.event_calls import EventsArgs
from im_service.methods import METHODS
from tests.support.sdk_client import until

WAITS = EventsArgs(after="x", wait_s=8)


def test_a_key_has_its_part_and_all_keys_together_leave_half_of_the_port() -> None:
    polls = LongPolls(32)
    with ExitStack() as waiting:

        def asked(key: str) -> int:
            given, headers = waiting.enter_context(polls.bounded(key, WAITS))
            assert given.after == "x"
            assert headers == ({} if given.wait_s else {"Retry-After": "1"})
            return given.wait_s

        assert [asked("greedy") for _ in range(6)] == [8, 8, 8, 8, 0, 0]
        assert [asked(f"k{n}") for n in range(14)] == [8] * 12 + [0, 0]
        assert polls.stats() == {"long_polls": 16, "long_polls_cut_total": 4}
        assert waiting.enter_context(polls.bounded("k0", EventsArgs()))[0] == EventsArgs()
    assert polls.stats()["long_polls"] == 0
    with polls.bounded("greedy", WAITS) as (given, _):
        assert given.wait_s == 8


def test_a_failed_request_waits_no_more() -> None:
    polls = LongPolls(16)
    for _ in range(9):
        try:
            with polls.bounded("a", WAITS) as (given, _):
                assert given.wait_s
                raise KeyError
        except KeyError:
            pass
    assert polls.stats() == {"long_polls": 0, "long_polls_cut_total": 0}


def test_whatever_may_be_waited_for_is_called_so_and_is_no_change() -> None:
    """`wait_s` of a read is what is bounded: a wait of another name would not be."""
    shapes = {f"GET {each.path}": METHODS[each.method].args for each in OPERATIONS if each.http == "GET"}
    shapes |= {f"{each.http} {each.path}": each.takes for each in ROUTES}
    shapes |= {each.path: METHODS[each.method].args for each in OPERATIONS}
    waits = {
        (place, name)
        for place, shape in shapes.items()
        for field in msgspec.structs.fields(shape)
        if any(word in (name := field.encode_name) for word in ("wait", "timeout", "poll"))
    }
    assert waits == {("GET /events", "wait_s"), ("/events", "wait_s")}


async def test_at_the_end_of_the_process_what_waits_is_answered_with_what_there_is() -> None:
    polls = LongPolls(16)
    asked: list[int] = []

    async def ask(given: EventsArgs) -> str:
        asked.append(given.wait_s)
        if given.wait_s:
            await asyncio.Event().wait()
        return "empty"

    waiting = asyncio.create_task(polls.asked("a", WAITS, ask))
    await until(lambda: asked == [8])
    polls.end()
    assert await waiting == ("empty", {"Retry-After": "1"})
    assert await polls.asked("a", WAITS, ask) == ("empty", {"Retry-After": "1"})
    assert asked == [8, 0, 0]
    assert polls.stats()["long_polls"] == 0


async def test_a_poll_that_fails_or_is_cancelled_leaves_nothing_behind() -> None:
    polls = LongPolls(16)
    begun: list[asyncio.Task[None]] = []

    async def fails(_: EventsArgs) -> None:
        raise KeyError

    async def waits(_: EventsArgs) -> None:
        task = asyncio.current_task()
        assert task is not None
        begun.append(task)
        await asyncio.Event().wait()

    with pytest.raises(KeyError):
        await polls.asked("a", WAITS, fails)
    waiting = asyncio.create_task(polls.asked("a", WAITS, waits))
    await until(lambda: bool(begun))
    waiting.cancel()
    await until(begun[0].cancelled)
    assert polls.stats()["long_polls"] == 0
