"""Whoever is asked hears it once, however often it is said."""

from __future__ import annotations

from pathlib import Path

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
