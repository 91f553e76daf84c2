"""Chatrooms of two im processes over one store: who is inside, whichever of them serves the room."""

from __future__ import annotations

import asyncio
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import msgspec
import pytest

from im_service.errors import ImError
from im_service.service import ImService
from tests.support.im_two_processes import Wire, at, second, two_processes
from tests.support.im_world import open_world


async def test_what_was_decided_about_a_room_while_its_words_were_lost_is_obeyed(tmp_path: Path) -> None:
    async with two_processes(tmp_path) as (world, other, there, _back):
        for room in ("hall", "yard"):
            await world.invoke("room.create", {"room": room})
        alice = await world.login("alice")
        for room in ("hall", "yard"):
            await at(other, world, alice, "room.join", room=room)
        await world.invoke("room.black", {"room": "hall", "user": "alice"})
        await world.invoke("room.close", {"room": "yard"})
        there.words = [("all", "")]
        await there.deliver()
        assert alice.connection.topics == {"u/alice"}


async def test_a_blacklist_or_the_end_of_a_room_puts_out_whom_the_other_process_knows_inside(
    tmp_path: Path,
) -> None:
    async with two_processes(tmp_path) as (world, other, there, _back):
        await world.invoke("room.create", {"room": "hall"})
        people = [await world.login(name) for name in ("alice", "bob", "carl")]
        for person in people:
            await at(other, world, person, "room.join", room="hall")
        alice, bob, carl = (person.connection for person in people)
        await world.invoke("room.black", {"room": "hall", "user": "alice"})
        await there.deliver()
        assert "r/hall" not in alice.topics
        assert {"r/hall"} <= bob.topics & carl.topics
        assert sorted((await other.room_table.get("hall")).members) == ["bob", "carl"]
        await world.invoke("room.close", {"room": "hall"})
        await there.deliver()
        assert not (await other.room_table.get("hall")).members
        assert "r/hall" not in bob.topics | carl.topics


async def test_who_is_in_a_room_goes_along_when_another_process_serves_it(tmp_path: Path) -> None:
    async with two_processes(tmp_path) as (world, other, there, _back):
        for room in ("hall", "yard", "stays", "ended"):
            await world.invoke("room.create", {"room": room})
        people = {name: await world.login(name) for name in ("alice", "bob", "carl")}
        for person in people.values():
            for room in ("hall", "yard", "stays", "ended"):
                await person.ok("room.join", room=room, tags=["vip"])
        alice, bob, carl = people.values()
        await other.invoke("room.black", {"room": "yard", "user": "alice"})  # its words are on the way
        await other.invoke("room.close", {"room": "ended"})
        before = len(world.downlink.published)
        await world.im.on_peers_changed(lambda topic: None if topic == "r/stays" else there.changed)
        there.words.insert(0, ("session", " ".join(map(str, carl.session))))  # overtakes its guests
        await carl.logout()
        await there.deliver()
        told = [topic for topic, *_ in world.downlink.published[before:]]
        assert told == ["r/stays"], "nobody else came or went"

        async def inside(im: ImService, room: str) -> list[str]:
            return sorted((await im.room_table.get(room)).members)

        rooms = ("hall", "yard", "stays", "ended")
        assert [await inside(world.im, room) for room in rooms] == [[], [], ["alice", "bob"], []]
        assert [await inside(other, room) for room in rooms] == [["alice", "bob"], ["bob"], [], []]
        kept = {"u/bob", "r/hall", "r/hall#vip", "r/yard", "r/yard#vip", "r/stays", "r/stays#vip"}
        assert bob.connection.topics == kept
        assert alice.connection.topics == {"u/alice"} | {t for t in kept if t[2:6] in ("hall", "stay")}
        payload = msgspec.msgpack.encode(["c1", 0, {"text": "hi"}, None, None])
        other.on_sends([(bob.session, 9_999, "r/hall", payload)])
        assert (await bob.answer(9_999))[0] == 0
        await bob.logout()
        await there.deliver()
        assert await inside(other, "hall") == ["alice"]
        assert alice.connection.notices("room.exit")[-1]["user"] == "bob"
        await other.invoke("room.kick", {"room": "hall", "user": "alice"})
        assert not {"r/hall", "r/hall#vip"} & alice.connection.topics


@pytest.mark.parametrize(("how", "code"), [("room.black", 0), ("room.kick", 13001)])
async def test_whoever_is_put_out_is_out_though_nobody_knows_them_inside(
    tmp_path: Path, how: str, code: int
) -> None:
    """The im process that knew who is inside died; a client that does not enter again stays in its topics."""
    there, back = Wire(), Wire()
    async with open_world(tmp_path, peers=there) as world:
        fresh = second(world, back)
        await world.invoke("room.create", {"room": "hall"})
        people = [await world.login(name) for name in ("alice", "bob")]
        for person in people:
            await person.ok("room.join", room="hall", tags=["vip"])
        with pytest.raises(ImError) if code else nullcontext() as refused:
            await fresh.invoke(how, {"room": "hall", "user": "alice"})
        assert refused is None or refused.value.code == code
        alice, bob = (person.connection.topics for person in people)
        assert (alice, bob) == ({"u/alice"}, {"u/bob", "r/hall", "r/hall#vip"})
        hall = await fresh.room_table.get("hall")
        for person in people:
            fresh.on_inside(person.session, "r/hall#vip")  # a gateway saw them just before
        assert sorted(hall.members) == ["bob"]
        await fresh.stop()


async def test_a_kick_of_before_a_gateway_gave_the_process_up_puts_nobody_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_world(tmp_path) as world:
        await world.invoke("room.create", {"room": "hall"})
        alice = await world.login("alice")
        await alice.ok("room.join", room="hall")
        gate, read, get = asyncio.Event(), asyncio.Event(), world.im.room_table.get

        async def slow(room: str) -> Any:
            found = await get(room)
            read.set()
            await gate.wait()
            return found

        monkeypatch.setattr(world.im.room_table, "get", slow)
        late = asyncio.create_task(world.attempt("room.kick", {"room": "hall", "user": "alice"}))
        await read.wait()
        world.im.on_afresh(alice.session.node)
        gate.set()
        assert await late == 503
        world.im.on_inside(alice.session, "r/hall")
        assert "r/hall" in alice.connection.topics
        assert await world.attempt("room.kick", {"room": "hall", "user": "alice"}) == 0
        assert alice.connection.topics == {"u/alice"}


async def test_whoever_leaves_is_out_though_nobody_knows_them_inside(tmp_path: Path) -> None:
    """The im process that knew them inside died; this one serves the room now."""
    there, back = Wire(), Wire()
    async with open_world(tmp_path, peers=there) as world:
        fresh = second(world, back)
        await world.invoke("room.create", {"room": "hall"})
        alice = await world.login("alice")
        await alice.ok("room.join", room="hall", tags=["vip"])
        assert await at(fresh, world, alice, "room.leave", room="hall") == {}
        assert alice.connection.topics == {"u/alice"}
        fresh.on_inside(alice.session, "r/hall#vip")  # a gateway saw it just before
        await fresh.settle()
        await fresh.room_table.get("hall")
        await asyncio.sleep(0)
        assert (await fresh.room_table.get("hall")).online == 0
        await at(fresh, world, alice, "room.join", room="hall")
        assert (await fresh.room_table.get("hall")).online == 1
        fresh.on_left(alice.session.node, alice.session.conn, "r/hall")
        assert (await fresh.room_table.get("hall")).online == 0
        await fresh.stop()


async def test_guests_are_learned_from_the_gateways_with_their_tags(tmp_path: Path) -> None:
    async with open_world(tmp_path) as world:
        fresh = second(world, Wire())
        for room in ("hall", "ended"):
            await world.invoke("room.create", {"room": room})
        people = [await world.login(name) for name in ("alice", "bob")]
        for person in people:
            for room in ("hall", "ended"):
                await person.ok("room.join", room=room, tags=["red", "blue"])
        alice, bob = people
        await world.invoke("room.black", {"room": "hall", "user": "bob"})
        bob.connection.topics |= {"r/hall", "r/hall#red"}  # nobody told that one's gateway
        ended = alice.connection.topics - {"r/ended", "r/ended#red", "r/ended#blue"}
        await world.invoke("room.close", {"room": "ended"})
        alice.connection.topics.add("r/ended")
        published = len(world.downlink.published)
        for person in people:
            fresh.on_inside(person.session, "r/hall#red#blue")
        fresh.on_inside(alice.session, "r/ended")
        async with asyncio.timeout(10):
            while "r/ended" in alice.connection.topics:  # noqa: ASYNC110
                await asyncio.sleep(0)
        hall = await fresh.room_table.get("hall")
        assert sorted(hall.members) == ["alice"]
        assert alice.connection.topics == ended
        assert not {topic for topic in bob.connection.topics if topic.startswith("r/")}
        assert len(world.downlink.published) == published, "nobody came"
        await at(fresh, world, alice, "room.join", room="hall", tags=["blue"])
        assert "r/hall#red" not in alice.connection.topics
        fresh.on_afresh(alice.session.node)
        assert hall.online == 0
        assert "r/hall" in alice.connection.topics, "the gateway knows best"
        await at(fresh, world, alice, "room.leave", room="hall")
        fresh.on_inside(alice.session, "r/hall")
        assert hall.online == 0
        fresh.on_afresh(alice.session.node)
        fresh.on_inside(alice.session, "r/hall")
        assert hall.online == 1, "that leave was not heeded"
        guest = " ".join(["hall", *map(str, bob.session)])
        await world.invoke("room.black", {"room": "hall", "user": "bob", "on": False})
        await fresh.on_peer_change("room", "hall")
        await fresh.on_peer_change("guest", guest)
        assert sorted(hall.members) == ["alice"], "said while this process stood still"
        world.clock.advance(3_000)
        await fresh.on_peer_change("guest", guest)
        assert sorted(hall.members) == ["alice", "bob"]
        await fresh.on_peer_change("left", f"{bob.session.node} {bob.session.conn} hall")
        assert sorted(hall.members) == ["alice"]
        alice.connection.topics -= {"r/hall", "r/hall#red"}
        await at(fresh, world, alice, "room.join", room="hall", tags=["red"])
        assert {"r/hall", "r/hall#red"} <= alice.connection.topics, "inside, so they hear"
        await fresh.stop()


async def test_a_call_of_before_its_gateway_gave_the_process_up_enters_no_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_world(tmp_path) as world:
        await world.invoke("room.create", {"room": "hall"})
        alice = await world.login("alice")
        gate, read, get = asyncio.Event(), asyncio.Event(), world.im.room_table.get

        async def slow(room: str) -> Any:
            found = await get(room)
            read.set()
            await gate.wait()
            return found

        monkeypatch.setattr(world.im.room_table, "get", slow)
        late = asyncio.create_task(alice.call("room.join", room="hall"))
        await read.wait()
        world.im.on_afresh(alice.session.node)
        gate.set()
        assert (await late)[0] == 504
        assert alice.connection.topics == {"u/alice"}
        await alice.ok("room.join", room="hall")
        assert "r/hall" in alice.connection.topics


async def test_who_speaks_or_is_put_out_right_behind_the_word_of_being_inside_is_inside(
    tmp_path: Path,
) -> None:
    """The room has to be read from the store first, and many others before it."""
    async with open_world(tmp_path) as world:
        fresh = second(world, Wire())
        for room in ("hall", "yard", *(f"other{number}" for number in range(20))):
            await world.invoke("room.create", {"room": room})
        alice, bob = await world.login("alice"), await world.login("bob")
        for room in ("hall", "yard"):
            for person in (alice, bob):
                await person.ok("room.join", room=room)
        for number in range(20):
            fresh.on_inside(alice.session, f"r/other{number}")
        for room in ("hall", "yard"):
            for person in (alice, bob):
                fresh.on_inside(person.session, f"r/{room}")
        payload = msgspec.msgpack.encode(["c1", 0, {"text": "hi"}, None, None])
        fresh.on_sends([(alice.session, 9_001, "r/hall", payload)])
        await fresh.invoke("room.kick", {"room": "yard", "user": "bob"})
        assert (await alice.answer(9_001))[0] == 0
        assert sorted((await fresh.room_table.get("yard")).members) == ["alice"]
        assert fresh.room_table.coming == {}
        await fresh.stop()
