"""Whoever is muted reaches nobody by a name of their choice, and what changes nothing is told to nobody."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from im_service.errors import Code
from im_service.methods import METHODS
from im_service.rates import Rate
from im_service.settings import ImSettings
from im_service.storage.records import Role
from tests.support.im_world import Person, World, open_world

ENGINES = ("sqlite",)
SPAM = "SPAM-CALL-555"
NUMBER = 5_550_123
OPEN = ImSettings(rooms_by_clients=True, friend_consent="free", group_consent="free")


async def scene(world: World) -> tuple[Person, Person]:
    """Mallory owns a group and a room with bob in both; bob's free group has nobody else."""
    mallory, bob = await world.login("mallory"), await world.login("bob")
    await mallory.ok("group.create", group="team", members=["bob"])
    await bob.ok("group.create", group="open", join="free")
    await mallory.ok("room.create", room="hall")
    for person in (mallory, bob):
        await person.ok("room.join", room="hall", tags=[SPAM])
    await mallory.said("g/team")
    await mallory.ok("profile.set", nick="m")
    bob.connection.messages.clear()
    bob.connection.events.clear()
    return mallory, bob


async def mute(world: World, user: str) -> None:
    await world.invoke("account.mute", {"user": user, "single_s": -1, "group_s": -1, "room_s": -1})


def heard(person: Person) -> str:
    return repr((person.connection.messages, person.connection.events))


def made_up(name: str, known: dict[str, Any]) -> dict[str, Any]:
    """Arguments of a call: what is known where it must be, and invented names wherever there may be one."""
    args: dict[str, Any] = {}
    for field in METHODS[name].args.__struct_fields__:
        kind = str(METHODS[name].args.__annotations__.get(field, ""))
        if field in known:
            args[field] = known[field]
        elif field == "put":
            args[field] = {SPAM: SPAM}
        elif "list" in kind or "Users" in kind:
            args[field] = [SPAM, "bob"]
        elif "str" in kind or "Text" in kind:
            args[field] = SPAM
    return args


CHATS = [{"group": "team", "room": "hall", "conversation": "g/team"}, {}]


@pytest.mark.parametrize("everybody", [False, True])
async def test_of_a_muted_account_nobody_hears_a_name_of_its_choice_whatever_the_call(
    tmp_path: Path, everybody: bool
) -> None:
    """Each call of the register, in chats that there are and in invented ones, on people that there are and
    on invented ones."""
    async with open_world(tmp_path, OPEN) as world:
        mallory, bob = await scene(world)
        await mute(world, "mallory")
        ends = {"group.dismiss", "room.close", "group.transfer", "group.leave", "room.leave", "kick"}
        names = [name for name, entry in METHODS.items() if not entry.server_only]
        for name in sorted(names, key=lambda name: name in ends):
            for chat in CHATS:
                extra = {
                    "on": True, "seq": 1, "seconds": NUMBER, "limit": 5, "accept": True, "id": 1,
                    "role": "member", "server_id": NUMBER, "seqs": [1], "devices": [SPAM], "cursor": 0,
                    "body": {"text": SPAM}, "acks": {"g/team": 1}, "up_to_seq": 1,
                }  # fmt: skip
                known = chat | extra | ({"user": "bob", "users": ["bob"]} if everybody else {})
                await mallory.call(name, **made_up(name, known))
        await world.settle()
        assert SPAM not in heard(bob)


async def test_a_muted_account_brings_nobody_into_a_group_of_its_naming(tmp_path: Path) -> None:
    async with open_world(tmp_path) as world:
        mallory, bob = await scene_asking(world)
        await mute(world, "mallory")
        for name, args in (
            ("group.create", {"group": SPAM, "members": ["bob"]}),
            ("group.create", {"group": SPAM}),
            ("group.invite", {"group": "other", "users": ["bob"]}),
            ("group.join", {"group": "open"}),
        ):
            assert (await mallory.call(name, **args))[0] == Code.MUTED, name
        assert heard(bob) == "([], [])"


async def scene_asking(world: World) -> tuple[Person, Person]:
    mallory, bob = await world.login("mallory"), await world.login("bob")
    await mallory.ok("group.create", group="other")
    await bob.ok("group.create", group="open", join="free")
    bob.connection.messages.clear()
    return mallory, bob


async def test_who_is_muted_in_a_group_invites_nobody_into_it(tmp_path: Path) -> None:
    async with open_world(tmp_path) as world:
        mallory, _ = await scene_asking(world)
        carl = await world.login("carl")
        await mallory.ok("group.update", group="other", invite="all")
        await mallory.forced("group.invite", group="other", users=["carl"])
        await mallory.ok("group.mute", group="other", user="carl")
        assert (await carl.call("group.invite", group="other", users=["bob"]))[0] == Code.MUTED
        await mallory.ok("group.mute", group="other", user="carl", seconds=0)
        await mallory.ok("group.mute_all", group="other", on=True)
        assert (await carl.call("group.invite", group="other", users=["bob"]))[0] == Code.MUTED


NOTHING: list[tuple[str, dict[str, Any]]] = [
    ("group.update", {"group": "team", "name": ""}),
    ("group.update", {"group": "team", "join": "approval"}),
    ("group.mute_all", {"group": "team", "on": False}),
    ("group.mute", {"group": "team", "user": "bob", "seconds": 0}),
    ("group.role", {"group": "team", "users": ["bob"], "role": "member"}),
    ("group.nick", {"group": "team", "nick": ""}),
    ("group.kick", {"group": "team", "users": ["zed"]}),
    ("friend.remove", {"user": "bob"}),
    ("room.update", {"room": "hall", "name": ""}),
    ("room.attributes", {"room": "hall", "remove": [SPAM]}),
    ("room.mute_all", {"room": "hall", "on": False}),
    ("room.mute_tag", {"room": "hall", "tag": "red", "seconds": 0}),
    ("room.mute", {"room": "hall", "user": "bob", "seconds": 0}),
    ("room.role", {"room": "hall", "user": "bob", "role": "guest"}),
    ("room.black", {"room": "hall", "user": "bob", "on": False}),
]


@pytest.mark.parametrize(
    ("name", "args"), NOTHING, ids=[f"{name}-{at}" for at, (name, _) in enumerate(NOTHING)]
)
async def test_what_changes_nothing_is_told_to_nobody(
    tmp_path: Path, name: str, args: dict[str, Any]
) -> None:
    async with open_world(tmp_path, OPEN) as world:
        mallory, bob = await scene(world)
        await mallory.ok(name, **args)
        assert heard(bob) == "([], [])"


async def test_notices_name_only_what_was_there(tmp_path: Path) -> None:
    async with open_world(tmp_path, OPEN) as world:
        mallory, bob = await scene(world)
        await mallory.ok("room.attributes", room="hall", put={"a": "1", "b": "2"})
        bob.connection.events.clear()
        await mallory.ok("room.attributes", room="hall", put={"a": "1", "c": "3"}, remove=["b", SPAM])
        assert bob.connection.notices("room.attributes") == [
            {"room": "hall", "put": {"c": "3"}, "remove": ["b"]}
        ]
        await mallory.forced("group.invite", group="team", users=["carl"])
        bob.connection.messages.clear()
        await mallory.ok("group.kick", group="team", users=["carl", SPAM])
        (kick,) = bob.connection.messages
        assert (SPAM in repr(kick), "carl" in repr(kick)) == (False, True)
        await mallory.ok("group.update", group="team", name="x", intro="")
        assert "intro" not in repr(bob.connection.messages[-1])


@pytest.mark.parametrize("name", ["room.mute", "room.role", "room.black"])
async def test_a_room_keeps_nothing_of_people_that_there_are_not(tmp_path: Path, name: str) -> None:
    """Clients decide about people who were here once; the application's server also about others."""
    async with open_world(tmp_path, OPEN) as world:
        mallory, bob = await scene(world)
        args = {"room": "hall", "user": SPAM} | ({"role": "restricted"} if name == "room.role" else {})
        await mallory.ok("relation.mute", user=SPAM)  # now its name is in the store
        assert (await mallory.call(name, **args))[0] == Code.NOT_FOUND
        assert (await mallory.ok("room.people", room="hall"))["people"] == []
        assert heard(bob) == "([], [])"
        await world.invoke(name, args)
        assert [row["user"] for row in (await mallory.ok("room.people", room="hall"))["people"]] == [SPAM]


async def test_who_was_never_in_a_room_hears_nothing_of_being_shut_out(tmp_path: Path) -> None:
    async with open_world(tmp_path, OPEN) as world:
        mallory, _ = await scene(world)
        carl = await world.login("carl")
        await mallory.ok("room.create", room=SPAM)
        await mallory.ok("room.black", room=SPAM, user="carl")
        assert heard(carl) == "([], [])"


async def test_muted_tags_of_a_room_are_bounded_and_end(tmp_path: Path) -> None:
    async with open_world(tmp_path, ImSettings(rooms_by_clients=True, room_muted_tags=2)) as world:
        mallory, _ = await scene(world)
        for tag in ("a", "b", "a"):
            await mallory.ok("room.mute_tag", room="hall", tag=tag, seconds=60)
        assert (await mallory.call("room.mute_tag", room="hall", tag="c", seconds=60))[0] == Code.CONFLICT
        world.clock.advance(60_001)
        await mallory.ok("room.mute_tag", room="hall", tag="c", seconds=60)
        assert [mute.tag for mute in await world.store.tag_mutes("hall")] == ["c"]


async def test_a_muted_tag_binds_those_who_keep_to_it_and_a_mute_everybody(tmp_path: Path) -> None:
    async with open_world(tmp_path, OPEN) as world:
        mallory, bob = await scene(world)
        await bob.ok("room.join", room="hall", tags=["red"])
        await mallory.ok("room.mute_tag", room="hall", tag="red")
        assert (await bob.send("r/hall"))[0] == Code.ROOM_MUTED
        await bob.ok("room.join", room="hall")
        await bob.said("r/hall")
        await mallory.ok("room.mute", room="hall", user="bob")
        await bob.ok("room.leave", room="hall")
        await bob.ok("room.join", room="hall")
        assert (await bob.send("r/hall"))[0] == Code.ROOM_MUTED


LOOPS: dict[str, list[tuple[str, dict[str, Any]]]] = {
    "coming and going": [("group.join", {"group": "open"}), ("group.leave", {"group": "open"})],
    "muting": [
        ("room.mute_all", {"room": "hall", "on": True}),
        ("room.mute_all", {"room": "hall", "on": False}),
    ],
    "making and ending": [("group.create", {"group": ""}), ("friend.remove", {"user": "bob"})],
}


@pytest.mark.parametrize("loop", LOOPS)
async def test_what_others_hear_of_costs_the_account_a_send_each(tmp_path: Path, loop: str) -> None:
    settings = ImSettings(rooms_by_clients=True, group_consent="free", account_rate=Rate(0.001, 20))
    async with open_world(tmp_path, settings) as world:
        mallory, _ = await scene(world)
        codes = [(await mallory.call(name, **args))[0] for _ in range(15) for name, args in LOOPS[loop]]
        assert codes.count(0) < 20
        assert codes[-1] == Code.RATE_LIMITED


async def test_what_is_remembered_of_a_room_keeps_no_decision_from_the_store(tmp_path: Path) -> None:
    """Another process decided the contrary, and this one has not heard it."""
    async with open_world(tmp_path, OPEN) as world:
        mallory, _ = await scene(world)
        now, store = world.clock.ms, world.store
        await mallory.ok("room.mute_all", room="hall", on=True)
        await mallory.ok("room.mute_tag", room="hall", tag="red")
        for name, args in DECISIONS.items():
            await mallory.ok(name, room="hall", user="bob", **args)
        await store.update_room("hall", now, mute_all=False)
        await store.mute_tag("hall", "red", 0)
        await store.set_room_member(
            "hall", "bob", now, role=Role.MEMBER, named=False, black=False, muted_until_ms=0
        )
        await mallory.ok("room.mute_all", room="hall", on=True)
        await mallory.ok("room.mute_tag", room="hall", tag="red")
        for name, args in DECISIONS.items():
            await mallory.ok(name, room="hall", user="bob", **args)
        (room,) = await store.rooms(["hall"])
        (person,) = (await store.room_members("hall")).items
        assert room.mute_all
        assert [mute.tag for mute in await store.tag_mutes("hall")] == ["red"]
        assert (person.role, person.named, person.black) == (Role.MANAGER, True, True)
        assert person.muted_until_ms > now


DECISIONS: dict[str, dict[str, Any]] = {"room.role": {"role": "manager"}, "room.mute": {}, "room.black": {}}
