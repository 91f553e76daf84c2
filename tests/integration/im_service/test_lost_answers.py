"""A commit whose answer was lost: the repeat is acked, and the receiver gets the message all the same."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from im_service.storage.errors import StoreUnknown
from im_service.storage.records import RECALLED, AppendResult, NewMessage
from tests.support.im_world import Person, World, open_world

Done = Callable[[list[AppendResult] | BaseException], None]
BODY = {"text": "once"}


def lose_answers(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """From now on batches are committed and their answers lost on the way."""
    append = world.store.append

    def lost(batch: Sequence[NewMessage], done: Done) -> None:
        append(batch, lambda _results: done(StoreUnknown("the server was lost while it committed")))

    monkeypatch.setattr(world.store, "append", lost)


def texts(person: Person) -> list[str]:
    return [message[5] for message in person.connection.messages]


async def sent(ann: Person, target: str = "u/ben") -> Any:
    return await ann.send(target, BODY, client_id="the same")


async def test_the_repeat_reaches_the_receiver(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with open_world(tmp_path) as world:
        ann, ben = await world.login("ann"), await world.login("ben")
        with monkeypatch.context() as patch:
            lose_answers(world, patch)
            assert (await sent(ann))[0] == 504, "unknown, not refused"
        assert texts(ben) == []
        assert (await sent(ann))[0] == 0
        await world.settle()
        assert texts(ben) == ["the same"]


async def test_the_repeat_after_the_death_of_a_process_reaches_the_receiver(tmp_path: Path) -> None:
    """It had committed, and died before it published or acked."""
    async with open_world(tmp_path) as world:
        assert (await sent(await world.login("ann")))[0] == 0
    async with open_world(tmp_path) as world:
        ann, ben = await world.login("ann"), await world.login("ben")
        assert (await sent(ann))[0] == 0
        await world.settle()
        assert texts(ben) == ["the same"]


async def test_what_was_recalled_meanwhile_comes_as_recalled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_world(tmp_path) as world:
        ann, ben = await world.login("ann"), await world.login("ben")
        with monkeypatch.context() as patch:
            lose_answers(world, patch)
            assert (await sent(ann))[0] == 504, "unknown, not refused"
        await ann.ok("recall", conversation="s/ann:ben", seq=1)
        assert (await sent(ann))[0] == 0
        await world.settle()
        shown = ben.connection.messages
        assert (1, RECALLED) in [(message[1], message[10]) for message in shown]
        assert "once" not in str(shown)


async def test_a_plain_repeat_is_published_once(tmp_path: Path) -> None:
    async with open_world(tmp_path) as world:
        ann, ben = await world.login("ann"), await world.login("ben")
        for _ in range(3):
            assert (await sent(ann))[0] == 0
        await world.settle()
        assert texts(ben) == ["the same"]
