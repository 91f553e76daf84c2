"""What a connection said just before it ended leaves nobody behind: no guest, no watcher, no member."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from im_service.settings import ImSettings, LoginPolicy
from im_service.storage.errors import StoreUnavailable
from tests.support.im_two_processes import at, two_processes
from tests.support.im_world import Person, World, open_world, until


def kept(world: World) -> int:
    """States of sessions that this process holds."""
    return sum(map(len, world.im.sessions._nodes.values()))


async def says_and_goes(world: World, person: Person, method: str, **args: object) -> None:
    """The CALL and the end of its connection come in one batch of events."""
    world.im.on_call(person.session, next(world.numbers), method, msgspec.msgpack.encode(args))
    await person.logout()


async def test_who_enters_a_room_and_goes_at_once_is_not_in_it(tmp_path: Path) -> None:
    async with open_world(tmp_path) as world:
        await world.invoke("room.create", {"room": "hall"})
        alice = await world.login("alice")
        await alice.ok("room.join", room="hall")
        for number in range(20):
            guest = await world.login(f"guest{number}")
            await says_and_goes(world, guest, "room.join", room="hall")
        assert (await world.invoke("room.online", {"room": "hall"}))["users"] == ["alice"]
        assert kept(world) == 1


async def test_who_watches_and_goes_at_once_watches_nobody_for_good(tmp_path: Path) -> None:
    async with open_world(tmp_path) as world:
        for number in range(20):
            watcher = await world.login(f"watcher{number}")
            await says_and_goes(world, watcher, "presence.subscribe", users=["alice"])
        assert world.im.presence._watches.keys() <= world.im.presence._left.keys()


async def test_a_session_that_ended_before_its_call_came_is_in_no_room(tmp_path: Path) -> None:
    """Two processes: the end is told by one, the call comes from the gateway."""
    async with two_processes(tmp_path) as (world, other, there, _back):
        await world.invoke("room.create", {"room": "hall"})
        alice = await world.login("alice")
        await alice.logout()
        await there.deliver()
        other.on_call(alice.session, 1, "room.join", msgspec.msgpack.encode({"room": "hall"}))
        await other.settle()
        assert (await other.room_table.get("hall")).online == 0
        assert not other.sessions._nodes


async def test_a_guest_whose_end_only_its_gateway_knows_leaves_the_room(tmp_path: Path) -> None:
    async with two_processes(tmp_path) as (world, other, there, _back):
        await world.invoke("room.create", {"room": "hall"})
        alice, bob = await world.login("alice"), await world.login("bob")
        for person in (alice, bob):
            assert isinstance(await at(other, world, person, "room.join", room="hall"), dict)
        await alice.logout()
        there.words.clear()  # lost beyond repair
        assert other.strays_at(1) == [alice.session, bob.session]
        other.on_stray_gone(alice.session)
        await other.settle()
        assert (await other.room_table.get("hall")).online == 1


async def test_who_was_in_a_room_before_its_login_came_here_is_in_it_and_leaves_it(tmp_path: Path) -> None:
    """Sessions change hands when im processes come and go."""
    async with two_processes(tmp_path) as (world, other, _there, _back):
        await world.invoke("room.create", {"room": "hall"})
        alice = await world.login("alice")
        assert isinstance(await at(other, world, alice, "room.join", room="hall", tags=["red"]), dict)
        other.on_session(alice.session, 1, 1)
        await other.settle()
        request = next(world.numbers)
        payload = msgspec.msgpack.encode(["one", 0, {"text": "hello"}, None, None])
        other.on_sends([(alice.session, request, "r/hall", payload)])
        assert (await alice.answer(request))[0] == 0
        world.downlink.disconnect(alice.session)
        other.on_logout(alice.session, 1000)
        await other.settle()
        assert (await other.room_table.get("hall")).online == 0


async def test_who_went_during_the_login_joins_no_group_and_ends_no_other_device(tmp_path: Path) -> None:
    async with open_world(tmp_path, ImSettings(login_policy=LoginPolicy(mode="one"))) as world:
        alice = await world.login("alice", "phone")
        await alice.ok("group.create", group="team")
        tablet = await world.login("alice", "tablet")
        assert alice.connection.closed is not None
        number = next(world.numbers)
        gone = tablet.session._replace(conn=number, device="desk")
        connection = world.downlink.connect(gone, number)
        world.im.on_login(gone, 1, number)
        world.im.on_logout(gone, 1000)
        await world.settle()
        assert "g/team" not in connection.topics
        assert tablet.connection.closed is None


async def test_a_logout_leaves_every_room_though_the_store_is_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_world(tmp_path, ImSettings(room_grace_ms=0)) as world:
        rooms = ("one", "two", "three")
        alice, bob = await world.login("alice"), await world.login("bob")
        for room in rooms:
            await world.invoke("room.create", {"room": room})
            for person in (alice, bob):
                await person.ok("room.join", room=room)
            await alice.ok("room.queue.put", room=room, key="k", transient=True)
        clear, failures = world.store.queue_clear, 0

        async def out(*args: str) -> object:
            nonlocal failures
            failures += 1
            if failures <= 4:
                raise StoreUnavailable("out")
            return await clear(*args)

        monkeypatch.setattr(world.store, "queue_clear", out)
        await alice.logout()
        for room in rooms:
            assert (await world.invoke("room.online", {"room": room}))["users"] == ["bob"]
        told = bob.connection.notices
        await until(lambda: {n["room"] for n in told("room.queue") if n["op"] == "exit"} == set(rooms))
        assert [await world.store.queue(room) for room in rooms] == [[], [], []]
