"""Nobody becomes a friend, or comes into a group, whom nobody asked."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from im_service.errors import Code
from im_service.rates import Rate
from im_service.settings import ImSettings
from tests.support.im_world import Person, World, open_world

ENGINES = ("sqlite",)
FRIENDS = {"checkFriend": True}


async def people(world: World, *names: str) -> list[Person]:
    return [await world.login(name) for name in names]


async def friends(one: Person, other: str) -> bool:
    """As both of them see it."""
    rows = await one.world.store.relation_pairs([(one.user, other), (other, one.user)])
    seen = {row.friend for row in rows.values()}
    assert len(seen) == 1
    return seen.pop()


async def inside(world: World, group: str) -> list[str]:
    found = await world.invoke("group.members", {"group": group})
    return [member["user"] for member in found["members"]]


async def test_adding_a_friend_asks_them_first(tmp_path: Path) -> None:
    async with open_world(tmp_path) as world:
        alice, bob = await people(world, "alice", "bob")
        added = await alice.ok("friend.add", user="bob", text="it is me")
        assert not added["changed"]
        assert not await friends(alice, "bob")
        (told,) = bob.connection.notices("friend.request")
        assert (told["id"], told["user"], told["text"]) == (added["id"], "alice", "it is me")
        await bob.ok("friend.decide", id=added["id"], accept=True)
        assert await friends(alice, "bob")
        assert await alice.ok("friend.add", user="bob") == {"changed": False, "id": 0}


async def test_who_was_asked_and_adds_the_other_has_said_yes(tmp_path: Path) -> None:
    async with open_world(tmp_path) as world:
        alice, bob = await people(world, "alice", "bob")
        await alice.ok("friend.add", user="bob")
        await alice.ok("consent.set", friend="nobody")
        assert (await bob.ok("friend.add", user="alice"))["changed"]
        assert await friends(alice, "bob")
        assert alice.connection.notices("friend.decided") == [{"user": "bob", "accepted": True}]
        assert (await bob.ok("friend.requests"))["requests"] == []


@pytest.mark.parametrize("by_setting", [True, False])
async def test_an_account_says_who_may_become_a_friend(tmp_path: Path, by_setting: bool) -> None:
    """free, ask and nobody, as the service's setting or as the account's own word, which goes before it."""
    for wish in ("free", "ask", "nobody"):
        path = tmp_path / wish
        path.mkdir()
        more: dict[str, Any] = {"friend_consent": wish} if by_setting else {"friend_consent": "nobody"}
        async with open_world(path, ImSettings(**more)) as world:
            alice, bob = await people(world, "alice", "bob")
            if not by_setting:
                assert (await bob.ok("consent.set", friend=wish))["friend"] == wish
            assert (await bob.ok("consent.get"))["friend"] == wish
            code, added = await alice.call("friend.add", user="bob")
            assert code == (Code.FORBIDDEN if wish == "nobody" else 0)
            assert await friends(alice, "bob") == (wish == "free")
            asked = (await bob.ok("friend.requests"))["requests"]
            assert [request["user"] for request in asked] == (["alice"] if wish == "ask" else [])
            if wish == "nobody":
                refusal = await alice.call("friend.request", user="bob")
                assert refusal == (Code.FORBIDDEN, added)
            await alice.forced("friend.add", user="bob")
            assert await friends(alice, "bob")


async def test_a_word_of_an_account_is_its_own_and_reaches_its_devices(tmp_path: Path) -> None:
    async with open_world(tmp_path) as world:
        phone, desk = await world.login("alice", "phone"), await world.login("alice", "desk", 4)
        assert await phone.ok("consent.get") == {"friend": "ask", "group": "ask"}
        await phone.ok("consent.set", friend="nobody")
        assert await desk.ok("consent.set", group="friends") == {"friend": "nobody", "group": "friends"}
        assert phone.connection.notices("consent") == [{"friend": "nobody", "group": "friends"}]
        assert await phone.ok("consent.set", friend="default") == {"friend": "ask", "group": "friends"}
        assert (await phone.call("consent.set", friend="friends"))[0] == Code.INVALID
        await world.invoke("consent.set", {"group": "free"}, "alice")
        await world.invoke("account.mute", {"user": "alice", "single_s": 60})
        assert await world.invoke("consent.get", {}, "alice") == {"friend": "ask", "group": "free"}


async def test_who_is_blacklisted_may_not_even_ask_and_does_not_learn_why(tmp_path: Path) -> None:
    async with open_world(tmp_path) as world:
        alice, bob, carl = await people(world, "alice", "bob", "carl")
        await bob.ok("consent.set", friend="free")
        await bob.ok("relation.black", user="alice")
        await carl.ok("consent.set", friend="nobody")
        for method in ("friend.add", "friend.request"):
            assert await alice.call(method, user="bob") == await alice.call(method, user="carl")
        assert not await friends(alice, "bob")
        assert (await bob.ok("friend.requests"))["requests"] == []


async def test_only_friends_reach_who_wants_friends_only(tmp_path: Path) -> None:
    """checkFriend, friend_only and stranger_rate protect: nobody makes themselves a friend."""
    for number, settings in enumerate(
        (ImSettings(), ImSettings(friend_only=True), ImSettings(stranger_rate=Rate(0.1, 2)))
    ):
        path = tmp_path / str(number)
        path.mkdir()
        async with open_world(path, settings) as world:
            alice, bob = await people(world, "alice", "bob")
            how: dict[str, Any] = {"options": FRIENDS} if settings == ImSettings() else {}
            refused = Code.RATE_LIMITED if settings.stranger_rate.per_s else Code.FORBIDDEN
            asked = await alice.ok("friend.add", user="bob")  # spends what a stranger's message spends
            codes = [(await alice.send("u/bob", **how))[0] for _ in range(3)]
            assert codes[-1] == refused
            assert len(bob.connection.messages) == codes.count(0) <= 1
            await bob.ok("friend.decide", id=asked["id"], accept=True)
            assert [(await alice.send("u/bob", **how))[0] for _ in range(3)] == [0] * 3


@pytest.mark.parametrize("way", ["group.create", "group.invite"])
async def test_an_account_says_who_may_bring_it_into_a_group(tmp_path: Path, way: str) -> None:
    async with open_world(tmp_path) as world:
        alice, *_ = await people(world, "alice", "bob")
        wishes = {
            "any": "free",
            "pal": "friends",
            "far": "friends",
            "shy": "ask",
            "no": "nobody",
            "new": None,
        }
        for user, wish in wishes.items():
            if wish:
                await world.invoke("consent.set", {"group": wish}, user)
        await alice.forced("friend.add", user="pal")
        shy = await world.login("shy")
        if way == "group.create":
            made = await alice.ok("group.create", group="team", members=list(wishes))
        else:
            await alice.ok("group.create", group="team")
            made = await alice.ok("group.invite", group="team", users=list(wishes), text="come")
            assert made["added"] == ["any", "pal"]
        assert (made["invited"], made["refused"]) == (["far", "shy", "new"], ["no"])
        assert await inside(world, "team") == ["alice", "any", "pal"]
        (told,) = shy.connection.notices("group.invited")
        assert (told["group"], told["by"]) == ("team", "alice")
        await shy.ok("group.decide", group="team", id=told["id"], accept=True)
        assert "shy" in await inside(world, "team")
        await alice.forced("group.invite", group="team", users=list(wishes))
        assert await inside(world, "team") == sorted([*wishes, "alice"])


@pytest.mark.parametrize("way", ["group.create", "group.invite"])
@pytest.mark.parametrize("answer", [7101, 0])
@pytest.mark.parametrize("agree", [True, False])
async def test_who_is_blacklisted_brings_nobody_into_a_group(
    tmp_path: Path, way: str, answer: int, agree: bool
) -> None:
    """With blacklist_answer 0 it looks like an invitation."""
    settings = ImSettings(blacklist_answer=answer, group_consent="free")
    async with open_world(tmp_path, settings) as world:
        alice, bob = await people(world, "alice", "bob")
        await bob.ok("relation.black", user="alice")
        if way == "group.create":
            made = await alice.ok("group.create", group="team", members=["bob"], agree=agree)
        else:
            await alice.ok("group.create", group="team", agree=agree)
            made = await alice.ok("group.invite", group="team", users=["bob"])
        assert (made["invited"], made["refused"]) == ((["bob"], []) if not answer else ([], ["bob"]))
        assert await inside(world, "team") == ["alice"]
        assert (await bob.ok("group.requests"))["requests"] == []
        assert not bob.connection.notices("group.invited")


async def test_a_group_that_asks_asks_those_too_who_need_no_asking(tmp_path: Path) -> None:
    async with open_world(tmp_path, ImSettings(group_consent="free")) as world:
        alice, _ = await people(world, "alice", "bob")
        await alice.ok("group.create", group="team", agree=True)
        made = await alice.ok("group.invite", group="team", users=["bob"])
        assert made == {"added": [], "invited": ["bob"], "refused": []}


async def test_members_and_invitations_are_made_together_or_not_at_all(tmp_path: Path) -> None:
    async with open_world(tmp_path) as world:
        alice, shy = await people(world, "alice", "shy")
        await world.invoke("consent.set", {"group": "free"}, "bob")
        args: dict[str, Any] = {"group": "team", "members": ["bob", "shy"], "limit": 1}
        assert (await alice.call("group.create", **args))[0] == Code.GROUP_FULL
        await alice.ok("group.create", group="team", limit=1)
        code, _ = await alice.call("group.invite", group="team", users=["bob", "shy"])
        assert code == Code.GROUP_FULL
        assert (await shy.ok("group.requests"))["requests"] == []
        assert not shy.connection.notices("group.invited")
