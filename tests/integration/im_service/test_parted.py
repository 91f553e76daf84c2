"""Between two of whom one has the other on the blacklist nothing is left and nothing begins."""

from __future__ import annotations

from pathlib import Path

import pytest

from im_service.errors import Code
from im_service.settings import FriendConsent, ImSettings
from tests.support.im_world import Person, World, open_world

TALK = "s/alice:bob"


async def two(world: World) -> tuple[Person, Person]:
    return await world.login("alice"), await world.login("bob")


async def bond(world: World, a: str = "alice", b: str = "bob") -> list[tuple[bool, bool]]:
    """(friend, black) as each of them has it."""
    rows = await world.store.relation_pairs([(a, b), (b, a)])
    return [(row.friend, row.black) for row in rows.values()]


@pytest.mark.parametrize("blacker", ["alice", "bob"])
async def test_a_friend_request_ends_when_either_blacklists_the_other(tmp_path: Path, blacker: str) -> None:
    async with open_world(tmp_path) as world:
        alice, bob = await two(world)
        asked = await alice.ok("friend.request", user="bob")
        person, other = (alice, "bob") if blacker == "alice" else (bob, "alice")
        await person.ok("relation.black", user=other)
        assert (await bob.ok("friend.requests"))["requests"] == []
        assert (await bob.call("friend.decide", id=asked["id"], accept=True))[0] == Code.CONFLICT
        assert (await bob.call("friend.add", user="alice"))[0] in (Code.CONFLICT, Code.FORBIDDEN)
        assert (await alice.call("friend.add", user="bob"))[0] in (Code.CONFLICT, Code.FORBIDDEN)
        await person.ok("relation.black", user=other, on=False)
        assert not (await bob.ok("friend.add", user="alice"))["changed"]


@pytest.mark.parametrize("consent", ["free", "ask"])
async def test_nobody_is_a_friend_and_on_the_blacklist(tmp_path: Path, consent: FriendConsent) -> None:
    async with open_world(tmp_path, ImSettings(friend_consent=consent)) as world:
        alice, bob = await two(world)
        await alice.forced("friend.add", user="bob")
        assert await bond(world) == [(True, False), (True, False)]
        bob.connection.events.clear()
        await alice.ok("relation.black", user="bob")
        assert await bond(world) == [(False, True), (False, False)]
        assert [n["friend"] for n in bob.connection.notices("relation")] == [False]
        assert (await alice.call("friend.add", user="bob"))[0] == Code.CONFLICT
        assert (await alice.call("friend.request", user="bob"))[0] == Code.CONFLICT
        assert await world.attempt("friend.add", {"user": "bob"}, "alice") == Code.CONFLICT
        assert await bond(world) == [(False, True), (False, False)]
        await alice.ok("relation.black", user="bob", on=False)
        await alice.forced("friend.add", user="bob")
        assert await bond(world) == [(True, False), (True, False)]


def seen(person: Person) -> list[tuple[str, bool]]:
    return [(body[0], body[1]) for kind, body in person.connection.events if kind == 4]


@pytest.mark.parametrize("blacker", ["alice", "bob"])
@pytest.mark.parametrize("before", [True, False])
async def test_neither_sees_when_the_other_is_there(tmp_path: Path, blacker: str, before: bool) -> None:
    """Whether they watched each other before, or begin to."""
    async with open_world(tmp_path) as world:
        alice, bob = await two(world)
        people = {"alice": (alice, "bob"), "bob": (bob, "alice")}
        if before:
            for person, other in people.values():
                await person.ok("presence.subscribe", users=[other])
        person, other = people[blacker]
        await person.ok("relation.black", user=other)
        if before:
            assert seen(alice) == [("bob", False)]
            assert seen(bob) == [("alice", False)]
        else:
            for person, other in people.values():
                (state,) = (await person.ok("presence.subscribe", users=[other]))["states"]
                assert state == {"user": other, "online": False, "devices": []}
        for each in (alice, bob):
            each.connection.events.clear()
        for name in ("alice", "bob"):
            await (await world.login(name, "desk", 4)).logout()
        assert seen(alice) == seen(bob) == []
        person, other = people[blacker]
        await person.ok("relation.black", user=other, on=False)
        for person, other in people.values():
            assert (await person.ok("presence.subscribe", users=[other]))["states"][0]["online"]


async def test_a_blacklist_made_elsewhere_ends_what_is_watched_here(tmp_path: Path) -> None:
    async with open_world(tmp_path) as world:
        alice, bob = await two(world)
        await bob.ok("presence.subscribe", users=["alice"])
        await world.store.set_relation("alice", "bob", world.clock.ms, black=True)
        await world.im.on_peer_change("pair", "alice bob")
        assert seen(bob) == [("alice", False)]
        await alice.logout()
        assert seen(bob) == [("alice", False)]


@pytest.mark.parametrize("blacker", ["alice", "bob"])
async def test_neither_hears_what_the_other_has_read(tmp_path: Path, blacker: str) -> None:
    async with open_world(tmp_path) as world:
        alice, bob = await two(world)
        await alice.said("u/bob")
        await alice.said("u/bob")
        await bob.ok("read", conversation=TALK, seq=1)
        assert len(alice.connection.notices("receipt")) == 1
        person, other = (alice, "bob") if blacker == "alice" else (bob, "alice")
        await person.ok("relation.black", user=other)
        await bob.ok("read", conversation=TALK, seq=2)
        await bob.ok("conversation.clear", conversation=TALK, up_to_seq=2)
        assert len(alice.connection.notices("receipt")) == 1
        assert (await alice.ok("receipts", conversations=[TALK]))["receipts"] == {}
        await person.ok("relation.black", user=other, on=False)
        assert (await alice.ok("receipts", conversations=[TALK]))["receipts"] == {TALK: 2}


async def test_who_is_on_the_blacklist_of_a_room_learns_nothing_of_it(tmp_path: Path) -> None:
    async with open_world(tmp_path) as world:
        alice, bob = await two(world)
        await world.invoke("room.create", {"room": "hall", "owner": "alice"})
        await bob.ok("room.info", room="hall")
        await alice.ok("room.black", room="hall", user="bob")
        for name in ("room.info", "room.online", "room.people"):
            assert (await bob.call(name, room="hall"))[0] == Code.ROOM_BLACKLISTED
            await alice.ok(name, room="hall")
            await world.invoke(name, {"room": "hall"})
