"""Slow mode: one message in so many seconds. Shadow ban: what somebody says is for themselves alone."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from im_service.errors import Code
from im_service.settings import ImSettings
from tests.integration.im_service.test_hold import read, team, texts
from tests.support.im_world import World, open_world

ENGINES = ("sqlite",)


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with open_world(tmp_path, ImSettings(rooms_by_clients=True)) as made:
        yield made


async def test_a_slow_group_takes_one_message_of_a_member_in_so_many_seconds(world: World) -> None:
    alice, bob, carl = await team(world)
    assert (await bob.call("group.update", group="team", slow_s=10))[0] == 403, "the modes are not theirs"
    assert (await alice.ok("group.update", group="team", slow_s=10))["slow_s"] == 10
    first = await bob.send("g/team", "one", client_id="one")
    code, answer = await bob.send("g/team", "two")
    assert (code, answer[1]) == (416, {"retry_after_ms": 10_000, "limit": "slow"})
    assert await bob.send("g/team", "one", client_id="one") == first, "a repeat is answered as the first time"
    pad = await world.login("bob", "pad", 2)
    world.clock.advance(4_000)
    code, answer = await pad.send("g/team", "two")
    assert (code, answer[1]["retry_after_ms"]) == (416, 6_000), "the user waits, on every device"
    await carl.said("g/team", "one of another member")
    for word in ("owners", "speak", "freely"):
        await alice.said("g/team", word)
    await bob.ok("react", conversation="g/team", seq=first[1][1], kind="+1")
    await bob.ok("edit", conversation="g/team", seq=first[1][1], body={"text": "won"})
    await world.invoke(
        "message.send", {"sender": "bob", "target": "g/team", "body": {"text": "by the server"}}
    )
    world.clock.advance(6_000)
    await bob.said("g/team", "two")
    await alice.ok("group.role", group="team", users=["bob"], role="manager")
    await bob.said("g/team", "three")
    await alice.ok("group.update", group="team", slow_s=0)
    await carl.said("g/team", "one")
    await carl.said("g/team", "two")


async def test_a_slow_chatroom_takes_one_message_of_a_member_in_so_many_seconds(world: World) -> None:
    alice, bob = await world.login("alice"), await world.login("bob")
    await alice.ok("room.create", room="hall", slow_s=5)
    await alice.ok("room.join", room="hall")
    await bob.ok("room.join", room="hall")
    await bob.said("r/hall", "one")
    code, answer = await bob.send("r/hall", "two")
    assert (code, answer[1]["retry_after_ms"]) == (416, 5_000)
    await alice.said("r/hall", "one")
    await alice.said("r/hall", "two")
    world.clock.advance(5_000)
    await bob.said("r/hall", "two")
    assert texts(alice.connection.room_messages()) == ["one", "one", "two", "two"]


async def test_what_a_shadowed_account_says_is_for_itself_alone(world: World) -> None:
    alice, bob, _ = await team(world)
    pad = await world.login("alice", "pad", 2)
    await world.invoke("room.create", {"room": "hall", "history": True})
    await alice.ok("room.join", room="hall")
    await bob.ok("room.join", room="hall")
    _, before = await alice.said("u/bob", "before")
    assert (await world.invoke("account.shadow", {"user": "alice"}))["shadow_until_ms"] > world.clock.ms
    for target, talk in (("u/bob", "s/alice:bob"), ("g/team", "g/team"), ("r/hall", "r/hall")):
        code, answer = await alice.send(target, "unheard")
        assert (code, bool(answer[0])) == (0, True)
        assert "unheard" not in await read(bob, talk)
    assert "unheard" in await read(alice, "s/alice:bob")
    assert texts(pad.connection.messages).count("unheard") == 2
    assert "unheard" not in texts(bob.connection.messages) + texts(bob.connection.room_messages())
    await alice.ok("edit", conversation="s/alice:bob", seq=before, body={"text": "unheard"})
    await alice.ok("react", conversation="s/alice:bob", seq=before, kind="+1")
    assert await read(bob, "s/alice:bob") == ["before"]
    assert not bob.connection.notices("reaction")
    await world.invoke("account.shadow", {"user": "alice", "seconds": 0})
    await alice.said("u/bob", "heard")
    assert texts(bob.connection.messages)[-1] == "heard"
    assert "unheard" not in await read(bob, "s/alice:bob"), "what was said meanwhile stays hidden"


async def test_a_shadowed_sender_sees_who_has_not_read_and_nobody_can_report_it(world: World) -> None:
    alice, bob, _ = await team(world)
    await world.invoke("account.shadow", {"user": "alice"})
    seqs = {}
    for shadowed in (True, False):
        await world.invoke("account.shadow", {"user": "alice", "seconds": -1 if shadowed else 0})
        _, (_, seqs[shadowed], _) = await alice.send("g/team", "read this", options={"receipt": True})
    both = sorted(seqs.values())
    await bob.ok("receipt.report", conversation="g/team", seqs=both)
    counts = {
        line[0]: line[1:]
        for line in (await alice.ok("receipt.counts", conversation="g/team", seqs=both))["counts"]
    }
    assert counts[seqs[False]][0] == 1
    assert counts[seqs[True]] == [0, sum(counts[seqs[False]])]
    listed = await alice.ok("receipt.list", conversation="g/team", seq=seqs[True])
    assert (listed["read"], len(listed["unread"])) == ([], counts[seqs[True]][1])
    assert not (await bob.ok("receipt.counts", conversation="g/team", seqs=[seqs[True]]))["counts"]


async def test_changes_of_a_group_by_a_shadowed_owner_are_made_and_answered_as_ever(world: World) -> None:
    """Only what they say is for themselves alone: who is put out is out."""
    alice, bob, _ = await team(world)
    await world.invoke("account.shadow", {"user": "alice"})
    assert "changed" not in await alice.ok("group.update", group="team", name="of two")
    assert "changed" not in await alice.ok("group.nick", group="team", nick="al")
    await alice.ok("group.kick", group="team", users=["bob"], text="bye")
    code, _ = await bob.send("g/team", "still here?")
    assert code == Code.NOT_GROUP_MEMBER
