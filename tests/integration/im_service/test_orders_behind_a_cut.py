"""Who is kicked, or put out of a room, while their gateway hears nothing: when it tells of them again, it
hears the order again, and whoever came after it stays.
"""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from frame.constants import CloseCode
from im_service.errors import Code
from tests.support.im_two_processes import at, begin, two_processes
from tests.support.im_world import Person, World, open_world

CUT_MS = 60_000
"""Longer than any word is on its way."""


def cut(world: World, person: Person, dead: bool) -> None:
    """Nothing reaches the connection; `dead`: its gateway was taken for dead, too."""
    world.downlink.connections.pop((person.session.node, person.session.conn), None)
    if dead:
        world.im.on_logout(person.session, CloseCode.INTERNAL)


async def heal(world: World, person: Person, room: str = "") -> None:
    """The gateway repeats the session, and the room that it is in."""
    world.clock.advance(CUT_MS)
    session = person.session
    world.downlink.connections[session.node, session.conn] = person.connection
    world.im.on_repeated(session)
    world.im.on_session(session, person.platform, person.connection.session_id)
    if room:
        world.im.on_inside(session, room)
    await world.im.settle()


@pytest.mark.parametrize("dead", [True, False])
@pytest.mark.parametrize("named", [True, False])
async def test_a_kick_that_a_gateway_did_not_hear_is_said_again(
    tmp_path: Path, dead: bool, named: bool
) -> None:
    async with open_world(tmp_path) as world:
        ann, ben = await world.login("ann"), await world.login("ben")
        cut(world, ann, dead)
        devices = [ann.session.device] if named else []
        await world.invoke("kick", {"user": "ann", "devices": devices, "reason": 3, "ext": "spam"})
        assert ann.connection.closed is None, "it heard nothing"
        await heal(world, ann)
        assert (ann.connection.closed, ann.connection.text) == (CloseCode.KICKED, "kicked: spam")
        cut(world, ben, dead)
        await heal(world, ben)
        assert ben.connection.closed is None, "of ben nothing was ordered"


async def test_who_logs_in_after_a_kick_stays_whatever_gateways_repeat(tmp_path: Path) -> None:
    async with open_world(tmp_path) as world:
        ann = await world.login("ann")
        world.downlink.disconnect(ann.session)
        await world.invoke("kick", {"user": "ann"})
        again = await world.login("ann", device="other")
        cut(world, again, True)
        await heal(world, again)
        assert again.connection.closed is None
        world.clock.advance(3_600_000)
        cut(world, ann, True)
        await heal(world, ann)
        assert ann.connection.closed is None, "an order is not remembered for ever"


@pytest.mark.parametrize("dead", [True, False])
@pytest.mark.parametrize("how", ["kick", "black"])
async def test_who_was_put_out_of_a_room_meanwhile_is_out_when_the_gateway_is_back(
    tmp_path: Path, dead: bool, how: str
) -> None:
    async with open_world(tmp_path) as world:
        ann, ben = await world.login("ann"), await world.login("ben")
        await world.invoke("room.create", {"room": "r", "owner": "boss"})
        for person in (ann, ben):
            await person.call("room.join", room="r")
            cut(world, person, dead and person is ann)
        await world.im.settle()
        code = await world.attempt(f"room.{how}", {"room": "r", "user": "ann"})
        assert code == (Code.NOT_IN_ROOM if dead and how == "kick" else 0)
        await heal(world, ann, "r/r")
        await heal(world, ben, "r/r")
        assert "r/r" in ben.connection.topics
        inside = (await world.invoke("room.online", {"room": "r"}))["users"]
        out = code == 0
        assert ("r/r" not in ann.connection.topics, inside) == (out, ["ben"] if out else ["ann", "ben"])
        if out and how == "kick":
            told = len(ann.connection.events)
            assert (await ann.call("room.join", room="r"))[0] == Code.CONFLICT, "its client believes to be in"
            assert "room.kicked" in str(ann.connection.events[told:])
            assert (await ann.call("room.join", room="r"))[0] == 0, "they may come back"
            await heal(world, ann, "r/r")
            assert "r/r" in ann.connection.topics
            assert (await ann.call("room.join", room="r"))[0] == 0


async def test_who_enters_after_an_order_stays_in_whichever_process_serves_the_room_then(
    tmp_path: Path,
) -> None:
    async with two_processes(tmp_path) as (world, other, _there, back):
        await world.invoke("room.create", {"room": "r", "owner": "boss"})
        guest = await world.login("ann", device="one")
        await guest.call("room.join", room="r")
        assert await world.attempt("room.kick", {"room": "r", "user": "ann"}) == 0
        world.clock.advance(1000)
        ann = Person(world, begin(other, world, "ann"), 1)
        await at(other, world, ann, "room.join", room="r")
        back.words.clear()
        await other.on_peers_changed(lambda topic: back.changed)
        await back.deliver()
        world.im.on_repeated(ann.session)
        assert (await ann.call("room.join", room="r"))[0] == 0
        assert "r/r" in ann.connection.topics
        assert (await world.invoke("room.online", {"room": "r"}))["users"] == ["ann"]


async def test_orders_of_the_other_part_of_a_cluster_are_carried_out_once_it_is_whole(tmp_path: Path) -> None:
    """Each part has an im process that believes to serve everybody."""
    async with two_processes(tmp_path) as (world, other, there, _back):
        await world.invoke("room.create", {"room": "r", "owner": "boss"})
        ben, cat, eve = (begin(other, world, user) for user in ("ben", "cat", "eve"))
        await other.settle()
        for person in (ben, cat, eve):
            other.on_inside(person.session, "r/r")
            person.topics.add("r/r")
        await other.settle()
        there.words.clear()
        kept = {c.session: c for c in (ben, cat, eve)}
        for session in kept:
            world.downlink.disconnect(session)
        later = await world.login("dora")
        await world.invoke("kick", {"user": "ben"})
        assert await world.attempt("room.kick", {"room": "r", "user": "cat"}) == Code.NOT_IN_ROOM
        guests = [await world.login(user, device="other") for user in ("cat", "eve")]
        for guest in guests:
            await guest.call("room.join", room="r")
            assert await world.attempt("room.kick", {"room": "r", "user": guest.user}) == 0
        there.words.clear()  # lost
        world.clock.advance(1000)
        for session, connection in kept.items():
            world.downlink.connections[session.node, session.conn] = connection
        other.on_logout(eve.session, CloseCode.NORMAL)
        late = Person(world, begin(other, world, "eve", "late"), 1)
        await at(other, world, late, "room.join", room="r")
        for _ in range(2):
            await world.im.on_peers_changed(lambda topic: there.changed)
            await there.deliver()
            assert (ben.closed, cat.closed, later.connection.closed) == (CloseCode.KICKED, None, None)
        assert "r/r" not in cat.topics
        assert "room.kicked" in str(cat.events)
        assert "r/r" in late.connection.topics, "they came after the order"
        inside = msgspec.to_builtins(await other.invoke("room.online", {"room": "r"}))
        assert "cat" not in inside["users"]
        await at(other, world, Person(world, cat, 1), "room.join", room="r")
        await world.im.on_peers_changed(lambda topic: there.changed)
        await there.deliver()
        assert "r/r" in cat.topics, "they came back, and the order is known"
