"""What rooms and groups give back: tagged messages in the ring, recall, many who join at once."""

from __future__ import annotations

import asyncio
from pathlib import Path

from im_service.rates import Rate
from im_service.settings import ImSettings
from tests.support.im_world import open_world, until


async def test_newcomers_get_tagged_messages_only_under_the_tag(tmp_path: Path) -> None:
    async with open_world(tmp_path) as world:
        ann, bob, cat = [await world.login(name) for name in ("ann", "bob", "cat")]
        await world.invoke("room.create", {"room": "hall", "owner": "ann", "ring": 10})
        await ann.ok("room.join", room="hall", tags=["vip"])
        await ann.said("r/hall", "for all")
        await ann.said("r/hall", "for some", options={"tag": "vip"})
        plain = await bob.ok("room.join", room="hall")
        assert [m[7]["text"] for m in plain["recent"]] == ["for all"]
        under = await cat.ok("room.join", room="hall", tags=["vip"])
        assert [m[7]["text"] for m in under["recent"]] == ["for all", "for some"]


async def test_a_room_message_is_recalled_for_those_here_newcomers_and_history(tmp_path: Path) -> None:
    async with open_world(tmp_path) as world:
        ann, bob, cat = [await world.login(name) for name in ("ann", "bob", "cat")]
        await world.invoke("room.create", {"room": "hall", "owner": "ann", "ring": 10, "history": True})
        await ann.ok("room.join", room="hall")
        await bob.ok("room.join", room="hall")
        mine, _ = await bob.said("r/hall", "mine")
        other, _ = await ann.said("r/hall", "of ann")
        assert (await bob.call("room.recall", room="hall", server_id=other))[0] == 403
        await bob.ok("room.recall", room="hall", server_id=mine, text="oops")
        await world.invoke("room.recall", {"room": "hall", "server_id": other})
        told = [n["server_id"] for n in ann.connection.notices("room.recall")]
        assert told == [mine, other]
        assert (await cat.ok("room.join", room="hall"))["recent"] == []
        history = await cat.ok("history", conversation="r/hall")
        assert [m[10] & 1 for m in history["messages"]] == [1, 1]
        later, _ = await bob.said("r/hall", "late")
        world.clock.advance(121_000)
        assert (await bob.call("room.recall", room="hall", server_id=later))[0] == 508


async def test_a_message_of_a_room_without_history_is_recalled_by_its_server_id(tmp_path: Path) -> None:
    async with open_world(tmp_path) as world:
        ann, bob = await world.login("ann"), await world.login("bob")
        await world.invoke("room.create", {"room": "hall", "owner": "ann"})
        await ann.ok("room.join", room="hall")
        await bob.ok("room.join", room="hall")
        said, _ = await bob.said("r/hall", "rude")
        assert (await bob.call("room.recall", room="hall", server_id=said))[0] == 403
        await ann.ok("room.recall", room="hall", server_id=said)
        assert [n["server_id"] for n in bob.connection.notices("room.recall")] == [said]


async def test_two_hundred_join_one_group_at_once(tmp_path: Path) -> None:
    async with open_world(tmp_path, ImSettings(call_rate=Rate(0))) as world:
        await world.invoke("group.create", {"group": "g", "owner": "olga", "join": "free", "limit": 500})
        joins = [world.attempt("group.join", {"group": "g"}, f"u{n}") for n in range(200)]
        assert await asyncio.gather(*joins) == [0] * 200
        assert (await world.invoke("group.info", {"group": "g"}))["members"] == 201


async def test_a_blink_costs_no_transient_element_and_a_longer_absence_does(tmp_path: Path) -> None:
    async with open_world(tmp_path, ImSettings(room_grace_ms=150)) as world:
        ann, bob = await world.login("ann"), await world.login("bob")
        await world.invoke("room.create", {"room": "hall", "owner": "ann"})
        await ann.ok("room.join", room="hall")
        await bob.ok("room.join", room="hall")
        await bob.ok("room.queue.put", room="hall", key="mic", transient=True)
        await bob.logout()
        assert len((await ann.ok("room.queue.list", room="hall"))["items"]) == 1
        bob = await world.login("bob")
        await bob.ok("room.join", room="hall")
        await bob.logout()
        changes = ann.connection.notices
        await until(lambda: [n["op"] for n in changes("room.queue")] == ["put", "exit"])
        assert (await ann.ok("room.queue.list", room="hall"))["items"] == []
