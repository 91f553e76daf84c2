"""What was done in part is never told as nothing: the repeat of a refused request would do it again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from im_service.errors import Code
from im_service.storage.errors import StoreError, StoreUnavailable, StoreUnknown
from tests.support.im_world import World, open_world

TARGETS = [f"u/u{number}" for number in range(6)]


def _lost_at(world: World, monkeypatch: pytest.MonkeyPatch, count: int, error: StoreError) -> None:
    read, seen = world.store.relation_pairs, 0

    async def sometimes(pairs: Any) -> Any:
        nonlocal seen
        seen += 1
        if seen == count:
            raise error
        return await read(pairs)

    monkeypatch.setattr(world.store, "relation_pairs", sometimes)


@pytest.mark.parametrize(
    ("error", "code"),
    [(StoreUnavailable("gone"), Code.UNAVAILABLE), (StoreUnknown("gone"), Code.TIMEOUT)],
)
async def test_a_batch_whose_store_is_lost_midway_answers_for_each_target(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: StoreError, code: Code
) -> None:
    async with open_world(tmp_path) as world:
        people = [await world.login(target[2:]) for target in TARGETS]
        _lost_at(world, monkeypatch, 4, error)
        args: dict[str, Any] = {"sender": "app", "targets": TARGETS, "body": {"text": "hi"}}
        lines = (await world.invoke("message.batch", args))["results"]
        assert [line["target"] for line in lines] == TARGETS
        assert [line["code"] for line in lines] == [0] * 3 + [code] + [Code.UNAVAILABLE] * 2
        assert [line["text"] for line in lines[4:]] == ["not tried"] * 2
        left = [line["target"] for line in lines if line["code"]]
        await world.invoke("message.batch", {**args, "targets": left})
        assert [len(person.connection.messages) for person in people] == [1] * 6


async def test_a_batch_of_which_nothing_was_sent_is_refused_as_a_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_world(tmp_path) as world:
        _lost_at(world, monkeypatch, 1, StoreUnavailable("gone"))
        args = {"sender": "app", "targets": ["g/none", *TARGETS], "body": {"text": "hi"}}
        assert await world.attempt("message.batch", args) == Code.UNAVAILABLE


async def test_a_call_that_loses_the_store_behind_its_first_commit_is_unknown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """503 says that nothing happened; here the name is changed, and only what senders remember is old."""
    async with open_world(tmp_path) as world:
        await world.invoke("group.create", {"group": "team", "owner": "ann"})
        ann = await world.login("ann")
        await ann.said("g/team")
        read = world.store.groups

        async def lost(groups: Any) -> Any:
            if (await read(groups))[0].rev > rev:
                raise StoreUnavailable("gone")
            return await read(groups)

        rev = (await read(["team"]))[0].rev
        with monkeypatch.context() as patched:
            patched.setattr(world.store, "groups", lost)
            assert await world.attempt("group.update", {"group": "team", "name": "a"}) == Code.TIMEOUT
        assert (await world.invoke("group.info", {"group": "team"}))["name"] == "a"
