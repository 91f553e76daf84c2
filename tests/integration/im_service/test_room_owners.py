"""Who makes chatrooms, how many, and that nobody gets one that somebody else has."""

from __future__ import annotations

from pathlib import Path

from im_service.errors import Code
from im_service.settings import ImSettings
from tests.support.im_world import open_world

ENGINES = ("sqlite",)
DAY_MS = 86_400_000


async def test_joining_a_room_that_nobody_made_makes_none(tmp_path: Path) -> None:
    async with open_world(tmp_path, ImSettings(rooms_by_clients=True)) as world:
        alice = await world.login("alice")
        assert (await alice.call("room.join", room="hall"))[0] == Code.ROOM_NOT_FOUND
        assert (await alice.send("r/hall"))[0] == Code.ROOM_NOT_FOUND
        assert (await alice.call("room.info", room="hall"))[0] == Code.ROOM_NOT_FOUND
        said = {"sender": "alice", "target": "r/hall", "body": {"text": "x"}}
        assert await world.attempt("message.send", said) == Code.ROOM_NOT_FOUND
        await alice.ok("room.create", room="hall")
        await alice.ok("room.join", room="hall")
        await alice.said("r/hall")


async def test_clients_make_rooms_only_where_a_setting_says_so(tmp_path: Path) -> None:
    async with open_world(tmp_path) as world:
        alice = await world.login("alice")
        assert (await alice.call("room.create", room="hall"))[0] == Code.FORBIDDEN
        assert (await world.invoke("room.create", {"room": "hall"}))["owner"] == "@system"
        assert (await world.invoke("room.create", {"room": "den", "owner": "bob"}))["owner"] == "bob"
        assert (await world.invoke("room.create", {"room": "bar"}, "alice"))["owner"] == "alice"


async def test_a_room_that_exists_is_never_taken_over(tmp_path: Path) -> None:
    async with open_world(tmp_path, ImSettings(rooms_by_clients=True)) as world:
        alice, eve = await world.login("alice"), await world.login("eve")
        await world.invoke("room.create", {"room": "hall"})
        await alice.ok("room.create", room="den")
        await alice.ok("room.join", room="den")
        for room, owner in (("hall", "@system"), ("den", "alice")):
            assert (await eve.call("room.create", room=room))[0] == Code.CONFLICT
            assert await world.attempt("room.create", {"room": room, "owner": "eve"}) == Code.CONFLICT
            assert (await eve.ok("room.info", room=room))["owner"] == owner
            assert (await eve.call("room.update", room=room, name="mine"))[0] == Code.FORBIDDEN
        await alice.ok("room.close", room="den")
        assert (await eve.call("room.create", room="den"))[0] == Code.CONFLICT


async def test_rooms_of_a_user_are_bounded_and_ids_are_not_taken_by_closing(tmp_path: Path) -> None:
    async with open_world(tmp_path, ImSettings(rooms_by_clients=True, rooms_per_user=2)) as world:
        alice, bob = await world.login("alice"), await world.login("bob")
        for room in ("one", "two"):
            await alice.ok("room.create", room=room)
        code, said = await alice.call("room.create", room="three")
        assert (code, said[0]) == (Code.CONFLICT, "at most 2 rooms a user")
        await alice.ok("room.close", room="one")
        assert (await alice.call("room.create", room="three"))[0] == Code.CONFLICT
        await bob.ok("room.create", room="three")
        await world.invoke("room.create", {"room": "four"}, "alice")
        await alice.ok("room.close", room="four")
        world.clock.advance(DAY_MS)
        await alice.ok("room.create", room="five")
        assert (await alice.call("room.create", room="six"))[0] == Code.CONFLICT
