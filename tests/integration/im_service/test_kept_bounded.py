"""What one user makes the store keep is bounded, also by making and ending without end."""

from __future__ import annotations

from pathlib import Path

import pytest

from im_service.errors import Code
from im_service.settings import ImSettings
from tests.support.im_world import Person, open_world

DAY_MS = 86_400_000


async def test_groups_made_and_ended_count_for_a_day(tmp_path: Path) -> None:
    async with open_world(tmp_path, ImSettings(groups_per_user=3)) as world:
        mallory = await world.login("mallory")
        codes = []
        for _ in range(5):
            code, made = await mallory.call("group.create")
            codes.append(code)
            if not code:
                await mallory.ok("group.dismiss", group=made["group"])
        assert codes == [0, 0, 0, Code.CONFLICT, Code.CONFLICT]
        await mallory.forced("group.create")
        await world.invoke("group.create", {"owner": "mallory"})
        world.clock.advance(DAY_MS + 1)
        assert (await mallory.call("group.create"))[0] == 0
        assert (await mallory.call("group.create"))[0] == Code.CONFLICT, "three are not ended"


async def listed(person: Person) -> list[str]:
    return sorted(row["user"] for row in (await person.ok("relations", limit=500))["relations"])


@pytest.mark.parametrize(
    ("name", "on", "off"),
    [
        ("friend.alias", {"alias": "x"}, {"alias": "", "ext": ""}),
        ("relation.mute", {}, {"on": False}),
        ("relation.black", {}, {"on": False}),
    ],
)
async def test_what_is_kept_of_people_who_are_no_friends_is_bounded(
    tmp_path: Path, name: str, on: dict[str, str], off: dict[str, str]
) -> None:
    """Those of whom nothing is left make room, the oldest first; others do not."""
    async with open_world(tmp_path, ImSettings(relations_per_user=3)) as world:
        alice = await world.login("alice")
        await alice.forced("friend.add", user="bob")
        for number in range(3):
            await alice.ok(name, user=f"u{number}", **on)
        assert (await alice.call(name, user="u3", **on))[0] == Code.CONFLICT
        await alice.ok(name, user="u1", **on)
        await alice.ok("friend.alias", user="bob", alias="Bobby")
        await alice.ok(name, user="u1", **off)
        await alice.ok(name, user="u0", **off)
        assert await listed(alice) == ["bob", "u0", "u1", "u2"], "that it ended is told first"
        await alice.ok(name, user="u3", **on)
        assert await listed(alice) == ["bob", "u0", "u2", "u3"]


async def test_friendships_made_and_ended_leave_a_bounded_trace(tmp_path: Path) -> None:
    async with open_world(tmp_path, ImSettings(relations_per_user=3, friend_consent="free")) as world:
        alice = await world.login("alice")
        for number in range(9):
            await alice.ok("friend.add", user=f"u{number}")
            await alice.ok("friend.remove", user=f"u{number}")
        assert await listed(alice) == ["u6", "u7", "u8"]
