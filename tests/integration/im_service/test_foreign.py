"""Who is not there, and what is not the caller's, is said so: no empty page, no answer as if it were done."""

from __future__ import annotations

from pathlib import Path

import pytest

from im_service.errors import Code
from im_service.settings import ImSettings
from tests.support.im_world import World, open_world

READS = ("pull", "history", "read")


async def chat(world: World) -> None:
    alice, bob = await world.login("alice"), await world.login("bob")
    await alice.said("u/bob")
    await alice.ok("group.create", group="team")
    await alice.said("g/team")
    await bob.said("u/alice")


@pytest.mark.parametrize(
    ("conversation", "code"),
    [
        ("u/alice", Code.INVALID),
        ("S/alice:bob", Code.INVALID),
        ("s/alice", Code.INVALID),
        ("s/alice:", Code.INVALID),
        ("s/alice:bob:carl", Code.INVALID),
        ("s/al ice:mallory", Code.INVALID),
        ("s/zed:mallory", Code.INVALID),
        ("s/mallory:mallory", Code.INVALID),
        ("g/a b", Code.INVALID),
        ("s/alice:bob", Code.FORBIDDEN),
        ("s/noone:nobody", Code.INVALID),
        ("s/noone:somebody", Code.FORBIDDEN),
        ("g/team", Code.NOT_GROUP_MEMBER),
        ("g/none", Code.GROUP_NOT_FOUND),
    ],
)
async def test_reading_what_is_ill_formed_or_foreign_is_refused(
    tmp_path: Path, conversation: str, code: Code
) -> None:
    async with open_world(tmp_path) as world:
        await chat(world)
        mallory = await world.login("mallory")
        for name in READS:
            args = {"seq": 1} if name == "read" else {}
            assert (await mallory.call(name, conversation=conversation, **args))[0] == code, name
            refused = await world.attempt(name, {"conversation": conversation, **args}, "mallory")
            assert refused in (code, Code.NOT_FOUND), name


async def test_a_chat_that_has_not_begun_is_empty_and_one_that_was_left_stays(tmp_path: Path) -> None:
    async with open_world(tmp_path) as world:
        await chat(world)
        carl = await world.login("carl")
        for name in ("pull", "history"):
            assert (await carl.ok(name, conversation="s/alice:carl"))["messages"] == []
        assert (await carl.call("read", conversation="s/alice:carl", seq=1))[0] == Code.NOT_FOUND
        await world.invoke("group.invite", {"group": "team", "users": ["carl"]})
        await carl.ok("group.leave", group="team")
        for name in READS:
            await carl.ok(name, conversation="g/team", **({"seq": 1} if name == "read" else {}))
        await world.invoke("group.dismiss", {"group": "team"})
        await carl.ok("history", conversation="g/team")


@pytest.mark.parametrize("target", ["u/@system", "u/@", "g/@team", "r/@hall"])
async def test_nobody_is_called_as_the_server_calls_itself(tmp_path: Path, target: str) -> None:
    async with open_world(tmp_path) as world:
        alice = await world.login("alice")
        for _ in range(2):
            assert (await alice.send(target))[0] == Code.INVALID
        args = {"sender": "alice", "target": target, "body": {"text": "x"}}
        assert await world.attempt("message.send", args) == Code.INVALID
        assert (await alice.ok("sync", cursor=0))["conversations"] == []


async def test_what_the_server_said_is_answered_by_reactions_alone(tmp_path: Path) -> None:
    async with open_world(tmp_path) as world:
        alice = await world.login("alice")
        args = {"sender": "@system", "target": "u/alice", "body": {"text": "welcome"}}
        sent = await world.invoke("message.send", args)
        talk = "s/@system:alice"
        await alice.ok("react", conversation=talk, seq=sent["seq"], kind="like")
        assert (await alice.send("u/@system"))[0] == Code.INVALID
        await alice.ok("read", conversation=talk, seq=1)
        assert len((await alice.ok("history", conversation=talk))["messages"]) == 1


async def test_a_kick_says_who_was_there(tmp_path: Path) -> None:
    async with open_world(tmp_path, ImSettings()) as world:
        phone, desk = await world.login("alice"), await world.login("alice", "desk", 4)
        await desk.logout()
        phone.connection.events.clear()
        assert (await phone.ok("kick", devices=["never", "desk"]))["kicked"] == []
        assert (await world.invoke("kick", {"user": "alice", "devices": ["never"]}))["kicked"] == []
        assert [n["device"] for n in phone.connection.notices("kicked")] == ["desk"]
        pad = await world.login("alice", "pad", 2)
        assert (await phone.ok("kick", devices=["never", "pad"], platforms=[4]))["kicked"] == ["pad"]
        assert pad.connection.closed
