"""What only a part of a group gets: one publication where one is enough, else paid, in slices, bounded."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from im_service import spread
from im_service.errors import Code
from im_service.rates import Rate
from im_service.sending.publish_batch import PublishBatch
from im_service.settings import ImSettings
from im_service.spread import Spread
from tests.support.im_downlink import RecordingDownlink
from tests.support.im_world import Person, TestClock, World, open_world

MEMBERS = 60


async def _team(world: World) -> tuple[Person, list[Person]]:
    """The owner of a group, and members that are online; most are not."""
    members = [f"m{number:02}" for number in range(MEMBERS)]
    await world.invoke("group.create", {"group": "team", "owner": "ann", "members": members})
    online = [await world.login(user) for user in members[:5]]
    return await world.login("ann"), online


def _texts(person: Person) -> list[Any]:
    return [message[7]["text"] for message in person.connection.messages if "text" in message[7]]


async def test_a_message_without_the_senders_other_devices_is_one_publication_if_there_are_none(
    tmp_path: Path,
) -> None:
    async with open_world(tmp_path) as world:
        ann, online = await _team(world)
        await ann.said("g/team", "first")
        before = len(world.downlink.published)
        await ann.said("g/team", "x", options={"sendersync": False})
        assert [item[0] for item in world.downlink.published[before:]] == ["g/team"]
        assert [_texts(person) for person in online] == [["first", "x"]] * 5
        assert _texts(ann) == []


async def test_with_other_devices_it_goes_to_those_who_are_online_and_never_to_these(tmp_path: Path) -> None:
    async with open_world(tmp_path) as world:
        ann, online = await _team(world)
        desk = await world.login("ann", "desk")
        before = len(world.downlink.published)
        for text in "abc":
            await ann.said("g/team", text, options={"sendersync": False})
        assert len(world.downlink.published) - before == 3 * 5
        assert [_texts(person) for person in online] == [["a", "b", "c"]] * 5
        assert _texts(ann) == _texts(desk) == []


async def test_receivers_served_one_by_one_cost_their_number(tmp_path: Path) -> None:
    async with open_world(tmp_path, ImSettings(spread_rate=Rate(10, 100))) as world:
        ann, _ = await _team(world)
        await world.login("ann", "desk")
        hidden = {"sendersync": False}
        codes = [(await ann.send("g/team", options=hidden))[0] for _ in range(5)]
        assert codes == [0, 0, 416, 416, 416], "60 and 60 of 100"
        assert (await ann.send("g/team"))[0] == 0, "what everybody gets is not counted"
        picked = {"target": {"ids": ["m01"], "inclusive": False}}
        assert (await ann.send("g/team", options=picked))[0] == Code.RATE_LIMITED
        world.clock.advance(2_000)
        assert (await ann.send("g/team", options=picked))[0] == 0
        await world.invoke("message.send", {
            "sender": "ann", "target": "g/team", "body": {"text": "x"}, "options": hidden,
        })  # fmt: skip


async def test_a_change_to_a_message_that_not_all_see_costs_their_number(tmp_path: Path) -> None:
    async with open_world(tmp_path, ImSettings(spread_rate=Rate(10, 100))) as world:
        ann, (ben, carl, *_) = await _team(world)
        _, seq = await ann.said("g/team")
        at = {"conversation": "g/team", "seq": seq}
        for number in range(4):
            await ben.ok("react", kind="x", on=number % 2 == 0, **at)
        await carl.ok("delete", conversation="g/team", seqs=[seq])
        before = len(world.downlink.published)
        codes = [(await ben.call("react", kind="x", on=number % 2 == 0, **at))[0] for number in range(4)]
        assert codes == [0, 0, Code.RATE_LIMITED, Code.RATE_LIMITED]
        assert len(world.downlink.published) - before <= 2 * 6, "only to those who are online"
        assert not ben.connection.notices("reaction"), "who asked knows"
        assert (await ben.call("react", kind="y", **at))[0] == Code.RATE_LIMITED
        found = await ann.ok("reactions", conversation="g/team", seqs=[seq])
        assert not found["reactions"], "what is refused is not kept"


async def test_many_publications_go_in_slices_in_order_and_what_is_owed_is_bounded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(spread, "SLICE", 10)
    monkeypatch.setattr(spread, "MAX_OWING", 2)
    downlink, clock = RecordingDownlink(), TestClock()
    slices = Spread(downlink, clock, Rate(1, 1))
    batch = PublishBatch()
    batch.publish(-1, "g/team", 6, b"\x901")
    topics = [f"u/{number}" for number in range(35)]
    batch.then(lambda: slices.publish(topics, 6, b"\x90"))
    batch.publish(-1, "g/team", 6, b"\x902")
    batch.flush(downlink)
    assert len(downlink.published) <= 12
    slices.publish(["u/last"], 6, b"\x90")
    await asyncio.sleep(0)
    assert len(downlink.published) <= 22
    await slices.close()
    assert [item[0] for item in downlink.published if item[0] != "g/team"] == [*topics, "u/last"]
    for user in ("a", "b", "c"):
        slices.charge(user, 10)
    assert len(slices._owing) == 2
    clock.advance(60_000)
    slices.charge("d", 10)
    assert list(slices._owing) == ["d"]
