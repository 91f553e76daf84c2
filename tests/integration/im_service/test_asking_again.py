"""Whoever is asked hears it once, however often it is said."""

from __future__ import annotations

from pathlib import Path

import pytest

from im_service.errors import Code
from im_service.rates import Rate
from im_service.settings import ImSettings
from tests.support.im_world import open_world


async def test_an_application_that_is_open_tells_nobody_again(tmp_path: Path) -> None:
    async with open_world(tmp_path) as world:
        owner, mallory = await world.login("olga"), await world.login("mallory")
        await owner.ok("group.create", group="team", join="approval")
        asked = [await mallory.ok("group.join", group="team", text="please") for _ in range(20)]
        assert len({joined["id"] for joined in asked}) == 1
        assert len(owner.connection.notices("group.applied")) == 1
        await mallory.ok("group.join", group="team", text="pretty please")
        assert [n["text"] for n in owner.connection.notices("group.applied")] == ["please"]
        (shown,) = (await owner.ok("group.requests", group="team"))["requests"]
        assert shown["text"] == "pretty please"


async def test_an_invitation_that_is_open_tells_nobody_again(tmp_path: Path) -> None:
    async with open_world(tmp_path) as world:
        owner, bob = await world.login("olga"), await world.login("bob")
        await owner.ok("group.create", group="team")
        for _ in range(20):
            assert (await owner.ok("group.invite", group="team", users=["bob"]))["invited"] == ["bob"]
        assert len(bob.connection.notices("group.invited")) == 1


async def test_a_friend_request_that_is_open_tells_nobody_again(tmp_path: Path) -> None:
    async with open_world(tmp_path) as world:
        ann, bob = await world.login("ann"), await world.login("bob")
        asked = [await ann.ok("friend.request", user="bob", text=f"hi {n % 3}") for n in range(20)]
        await ann.ok("friend.add", user="bob", text="hi")
        assert len({answer["id"] for answer in asked}) == 1
        assert len(bob.connection.notices("friend.request")) == 1


async def test_a_blacklist_in_between_makes_no_request_new(tmp_path: Path) -> None:
    """Ended with it and asked again, it is the same request, and told to nobody twice."""
    async with open_world(tmp_path) as world:
        ann, bob = await world.login("ann"), await world.login("bob")
        ids = set()
        for number in range(5):
            for method in ("friend.request", "friend.add"):
                ids.add((await ann.ok(method, user="bob", text=f"hi {number}"))["id"])
                await ann.ok("relation.black", user="bob", on=True)
                assert (await bob.ok("friend.requests"))["requests"] == []
                await ann.ok("relation.black", user="bob", on=False)
        assert len(ids) == 1
        assert len(bob.connection.notices("friend.request")) == 1
        await ann.ok("friend.request", user="bob", text="at last")
        ((asked),) = (await bob.ok("friend.requests"))["requests"]
        assert asked["text"] == "at last"
        world.clock.advance(ImSettings().ask_again_ms + 1)
        await ann.ok("relation.black", user="bob", on=True)
        await ann.ok("relation.black", user="bob", on=False)
        await ann.ok("friend.request", user="bob", text="long after")
        assert len(bob.connection.notices("friend.request")) == 2


async def test_the_text_of_an_application_costs_what_a_message_to_a_stranger_costs(tmp_path: Path) -> None:
    async with open_world(tmp_path, ImSettings(stranger_rate=Rate(1, 3))) as world:
        owner, mallory = await world.login("olga"), await world.login("mallory")
        await owner.ok("group.create", group="team", join="approval")
        codes = [(await mallory.call("group.join", group="team", text=f"{n}"))[0] for n in range(5)]
        assert codes == [0, 0, 0, 416, 416]
        assert (await mallory.send("u/olga"))[0] == 416


@pytest.mark.parametrize("name", ["group.invite", "group.create"])
async def test_whom_somebody_asks_in_costs_what_a_message_to_each_stranger_costs(
    tmp_path: Path, name: str
) -> None:
    async with open_world(tmp_path, ImSettings(stranger_rate=Rate(1, 3))) as world:
        mallory = await world.login("mallory")
        await world.invoke("friend.add", {"user": "friend"}, user="mallory")
        await mallory.ok("group.create", group="team")

        async def ask(number: int, *users: str) -> Code:
            group = {"group": "team", "users": users}
            if name == "group.create":
                group = {"group": f"team{number}", "members": users}
            return (await mallory.call(name, **group))[0]

        assert [await ask(n, "friend") for n in range(9)] == [0] * 9, "friends are no strangers"
        assert [await ask(n, f"victim{n}") for n in range(10, 15)] == [0, 0, 0, 416, 416]
        assert (await mallory.send("u/victim9"))[0] == 416
        world.clock.advance(60_000)
        assert await ask(20, *(f"crowd{n}" for n in range(50))) == 0
        world.clock.advance(40_000)
        assert await ask(21, "victim9") == 416, "who asks many at once owes them"
        world.clock.advance(10_000)
        assert await ask(22, "victim9") == 0


@pytest.mark.parametrize("name", ["group.invite", "group.create"])
async def test_whom_somebody_asks_in_costs_the_receivers_of_the_account(tmp_path: Path, name: str) -> None:
    async with open_world(tmp_path, ImSettings(spread_rate=Rate(10, 100))) as world:
        mallory = await world.login("mallory")
        await mallory.ok("group.create", group="team")
        answers = []
        for call in range(5):
            users = [f"victim{call}-{n}" for n in range(100)]
            group = {"group": "team", "users": users}
            if name == "group.create":
                group = {"group": f"team{call}", "members": users}
            answers.append(await mallory.call(name, **group))
        assert [code for code, _ in answers] == [0, 0, 416, 416, 416]
        assert answers[2][1][1]["limit"] == "spread"


async def test_who_is_muted_in_groups_asks_nobody_in(tmp_path: Path) -> None:
    async with open_world(tmp_path) as world:
        mallory = await world.login("mallory")
        await mallory.ok("group.create", group="team")
        await world.invoke("account.mute", {"user": "mallory", "group_s": 60})
        assert (await mallory.call("group.invite", group="team", users=["bob"]))[0] == Code.MUTED
        assert (await mallory.call("group.create", group="crew", members=["bob"]))[0] == Code.MUTED
        assert (await mallory.call("group.create", group="alone"))[0] == Code.MUTED


DAY_MS = 86_400_000


async def test_who_refused_a_friend_is_left_in_peace_for_a_while(tmp_path: Path) -> None:
    async with open_world(tmp_path) as world:
        ann, bob = await world.login("ann"), await world.login("bob")
        asked = await ann.ok("friend.request", user="bob")
        await bob.ok("friend.decide", id=asked["id"], accept=False)
        for name in ("friend.request", "friend.add"):
            assert (await ann.call(name, user="bob", text="but"))[0] == Code.FORBIDDEN
        assert len(bob.connection.notices("friend.request")) == 1
        assert (await ann.forced("friend.request", user="bob"))["id"] > asked["id"], "the server may"
        (open_now,) = (await bob.ok("friend.requests"))["requests"]
        await bob.ok("friend.decide", id=open_now["id"], accept=False)
        world.clock.advance(7 * DAY_MS + 1)
        await ann.ok("friend.request", user="bob")
        assert len(bob.connection.notices("friend.request")) == 3
        await bob.ok("friend.decide", id=open_now["id"] + 1, accept=False)
        assert not (await bob.ok("friend.add", user="ann"))["changed"], "who refused may ask"


async def test_who_refused_a_group_is_left_in_peace_for_a_while(tmp_path: Path) -> None:
    async with open_world(tmp_path, ImSettings(ask_again_ms=1000)) as world:
        olga, bob, carl = [await world.login(name) for name in ("olga", "bob", "carl")]
        await olga.ok("group.create", group="team", join="approval")
        await olga.ok("group.invite", group="team", users=["bob"])
        (asked,) = bob.connection.notices("group.invited")
        await bob.ok("group.decide", group="team", id=asked["id"], accept=False)
        again = await olga.ok("group.invite", group="team", users=["bob", "carl"])
        assert (again["invited"], again["refused"]) == (["carl"], ["bob"])
        assert len(bob.connection.notices("group.invited")) == 1
        applied = await bob.ok("group.join", group="team")
        await olga.ok("group.decide", group="team", id=applied["id"], accept=False)
        assert (await bob.call("group.join", group="team", text="but"))[0] == Code.FORBIDDEN
        assert len(olga.connection.notices("group.applied")) == 1
        world.clock.advance(1001)
        assert (await olga.ok("group.invite", group="team", users=["bob"]))["invited"] == ["bob"]
        assert not (await bob.ok("group.join", group="team"))["joined"]
        assert len(carl.connection.notices("group.invited")) == 1


@pytest.mark.parametrize("way", ["leave", "kick", "transfer", "role", "update"])
async def test_an_invitation_ends_with_the_right_of_who_made_it(tmp_path: Path, way: str) -> None:
    async with open_world(tmp_path) as world:
        olga, carl, bob = [await world.login(name) for name in ("olga", "carl", "bob")]
        await olga.ok("group.create", group="team", invite="managers" if way == "role" else "all")
        await olga.forced("group.invite", group="team", users=["carl", "dora"])
        if way == "role":
            await olga.ok("group.role", group="team", users=["carl"], role="manager")
        if way == "transfer":
            await olga.ok("group.transfer", group="team", user="carl")
        await carl.ok("group.invite", group="team", users=["bob"])
        (asked,) = bob.connection.notices("group.invited")
        if way == "leave":
            await carl.ok("group.leave", group="team")
        elif way == "kick":
            await olga.ok("group.kick", group="team", users=["carl"])
        elif way == "transfer":
            await carl.ok("group.transfer", group="team", user="olga", leave=True)
        elif way == "role":
            await olga.ok("group.role", group="team", users=["carl"], role="member")
        else:
            await olga.ok("group.update", group="team", invite="managers")
        assert (await bob.call("group.decide", group="team", id=asked["id"], accept=True))[0] == Code.CONFLICT
        (mine,) = (await bob.ok("group.requests"))["requests"]
        assert mine["state"] == -1
        assert (await bob.call("group.decide", group="team", id=asked["id"], accept=True))[0] == Code.CONFLICT
        await olga.ok("group.invite", group="team", users=["bob"])
        (*_, asked) = bob.connection.notices("group.invited")
        await bob.ok("group.decide", group="team", id=asked["id"], accept=True)


async def test_an_invitation_is_of_who_made_it_last(tmp_path: Path) -> None:
    async with open_world(tmp_path) as world:
        olga, carl, bob = [await world.login(name) for name in ("olga", "carl", "bob")]
        await olga.ok("group.create", group="team", invite="all")
        await olga.forced("group.invite", group="team", users=["carl"])
        await carl.ok("group.invite", group="team", users=["bob"])
        await olga.ok("group.invite", group="team", users=["bob"])
        await carl.ok("group.leave", group="team")
        (asked,) = bob.connection.notices("group.invited")
        await bob.ok("group.decide", group="team", id=asked["id"], accept=True)
