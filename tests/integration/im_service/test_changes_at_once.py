"""What two devices change at the same moment is kept of both."""

from __future__ import annotations

import asyncio
from pathlib import Path

from tests.support.im_world import open_world


async def test_settings_of_a_conversation_changed_by_two_devices_at_once(tmp_path: Path) -> None:
    async with open_world(tmp_path) as world:
        phone, laptop = await world.login("ann"), await world.login("ann", "laptop", 3)
        await phone.said("u/ben")
        for on in (True, False):
            await asyncio.gather(
                phone.ok("conversation.set", conversation="s/ann:ben", mute=on),
                laptop.ok("conversation.set", conversation="s/ann:ben", pin=on),
                laptop.ok("conversation.set", conversation="s/ann:ben", ext=str(on)),
            )
            (line,) = (await phone.ok("conversations"))["conversations"]
            assert (line["mute"], line["pin"], line["ext"]) == (on, on, str(on))


async def test_a_profile_changed_by_two_devices_at_once(tmp_path: Path) -> None:
    """Also the first time, when there is none yet."""
    async with open_world(tmp_path) as world:
        phone, laptop = await world.login("ann"), await world.login("ann", "laptop", 3)
        for gender, text in enumerate(("one", "two"), 1):
            await asyncio.gather(
                phone.ok("profile.set", nick=text),
                laptop.ok("profile.set", sign=text),
                phone.ok("profile.set", gender=gender),
            )
            (profile,) = (await phone.ok("profile.get", users=["ann"]))["profiles"]
            assert (profile["nick"], profile["sign"], profile["gender"]) == (text, text, gender)
        assert profile["rev"] == 6


async def test_a_group_and_a_room_changed_by_two_at_once_keep_what_both_were_told(tmp_path: Path) -> None:
    """Whoever hears ok has changed it; a room's second one may be told to try again."""
    async with open_world(tmp_path) as world:
        ann, laptop = await world.login("ann"), await world.login("ann", "laptop", 3)
        await ann.ok("group.create", group="x", name="x")
        await asyncio.gather(
            ann.ok("group.update", group="x", name="new"),
            laptop.ok("group.update", group="x", announcement="hear"),
        )
        group = await ann.ok("group.info", group="x")
        assert (group["name"], group["announcement"]) == ("new", "hear")
        await world.invoke("room.create", {"room": "r"}, "ann")
        answers = await asyncio.gather(
            *(
                one.call("room.attributes", room="r", put={key: "v"})
                for one, key in ((ann, "a"), (laptop, "b"))
            )
        )
        told = {key for key, (code, _) in zip("ab", answers, strict=True) if code == 0}
        await world.im.room_table.refresh("r")
        assert (await ann.ok("room.info", room="r"))["attributes"].keys() == told
