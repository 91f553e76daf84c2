"""Two apps in one process: what belongs to one is an object of its own; neither sees or slows the other."""

from __future__ import annotations

from pathlib import Path

from im_service.rates import Rate
from im_service.settings import ImSettings
from tests.support.im_ports import RecordingPush
from tests.support.im_world import open_world

ENGINES = ("sqlite",)


async def test_the_same_names_in_two_apps_are_different_people(tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    one.mkdir()
    two.mkdir()
    push = RecordingPush()
    slow = ImSettings(account_rate=Rate(0.001, 1), recall_window_ms=1)
    async with open_world(one, slow) as first, open_world(two, push=push) as second:
        alice, other_alice = await first.login("alice"), await second.login("alice")
        bob, other_bob = await first.login("bob"), await second.login("bob")
        await alice.said("u/bob", "for the first app")
        assert (await alice.send("u/bob"))[0] == 416
        for _ in range(3):
            await other_alice.said("u/bob", "for the second app")
        assert [m[7]["text"] for m in bob.connection.messages] == ["for the first app"]
        assert [m[7]["text"] for m in other_bob.connection.messages] == ["for the second app"] * 3
        await first.invoke("account.disable", {"user": "alice"})
        await first.invoke("room.create", {"room": "hall"})
        await other_alice.said("u/bob", "still here")
        assert await second.attempt("room.info", {"room": "hall"}) == 13002
        await other_bob.pushed_to()
        await other_bob.logout()
        await other_alice.said("u/bob", "to one who is away")
        await second.settle()
        assert [p.text for p in push.pushes] == ["alice: to one who is away"]
        assert len(await second.copies()) == 5
        assert (first.im.stats()["sessions"], second.im.stats()["sessions"]) == (2, 1)
