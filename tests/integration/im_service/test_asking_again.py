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
        assert [n["text"] for n in owner.connection.notices("group.applied")] == ["please", "pretty please"]


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
        asked = [await ann.ok("friend.request", user="bob", text="hi") for _ in range(20)]
        await ann.ok("friend.add", user="bob", text="hi")
        assert len({answer["id"] for answer in asked}) == 1
        assert len(bob.connection.notices("friend.request")) == 1


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
