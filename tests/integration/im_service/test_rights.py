"""Ids that nobody may take, accounts that may not act."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import msgspec
import pytest

from im_service.errors import Code
from im_service.ports import Session
from tests.support.im_world import World, open_world, until

ENGINES = ("sqlite",)

TAKEN_BY_A_USER: list[tuple[str, dict[str, Any]]] = [
    ("group.create", {"group": "@team"}),
    ("group.create", {"group": "team", "members": ["@system"]}),
    ("group.invite", {"group": "mine", "users": ["@system"]}),
    ("room.create", {"room": "@hall"}),
    ("room.join", {"room": "@hall"}),
    ("room.join", {"room": "hall", "tags": ["@red"]}),
    ("friend.add", {"user": "@system"}),
    ("friend.request", {"user": "@system"}),
    ("relation.black", {"user": "@system"}),
]
TAKEN_FOR_A_USER: list[tuple[str, dict[str, Any], str]] = [
    ("group.create", {"group": "team", "owner": "@system"}, ""),
    ("room.create", {"room": "hall", "owner": "@team"}, ""),
    ("account.disable", {"user": "@system"}, ""),
    ("group.create", {"group": "team"}, "@team"),
    ("profile.set", {"nick": "The system"}, "@system"),
]


@pytest.mark.parametrize(("name", "args"), TAKEN_BY_A_USER)
async def test_nobody_takes_an_id_of_the_server(tmp_path: Path, name: str, args: dict[str, Any]) -> None:
    async with open_world(tmp_path) as world:
        alice = await world.login("alice")
        await alice.ok("group.create", group="mine")
        assert (await alice.call(name, **args))[0] == 414


@pytest.mark.parametrize(("name", "args", "user"), TAKEN_FOR_A_USER)
async def test_nor_does_the_server_give_it_to_somebody(
    tmp_path: Path, name: str, args: dict[str, Any], user: str
) -> None:
    async with open_world(tmp_path) as world:
        assert await world.attempt(name, args, user) == 414


async def test_the_server_speaks_under_its_own_ids(tmp_path: Path) -> None:
    async with open_world(tmp_path) as world:
        bob = await world.login("bob")
        for sender in ("@system", "@team"):
            await world.invoke(
                "message.send", {"sender": sender, "target": "u/bob", "body": {"text": sender}}
            )
        await world.invoke("room.create", {"room": "hall"})
        assert [(m[4], m[7]["text"]) for m in bob.connection.messages] == [("@system",) * 2, ("@team",) * 2]


async def disabled_world(world: World) -> tuple[int, int]:
    """Alice, disabled after a message. -> the message's seq, when it ends"""
    alice, bob = await world.login("alice"), await world.login("bob")
    await alice.forced("group.create", group="mine", members=["bob"])
    _, seq = await bob.said("u/alice")
    account = await world.invoke("account.disable", {"user": "alice", "seconds": 3600})
    await alice.logout()
    return seq, account["disabled_until_ms"]


async def test_a_disabled_account_does_nothing_before_it_is_sent_away(tmp_path: Path) -> None:
    """Its calls and sends arrive with the login, before anybody has looked at the account."""
    async with open_world(tmp_path) as world:
        seq, until_ms = await disabled_world(world)
        for _ in range(10):
            number = next(world.numbers)
            session = Session(1, number, "alice", "phone")
            connection = world.downlink.connect(session, number)
            world.im.on_login(session, 1, number)
            calls = [
                ("react", {"conversation": "s/alice:bob", "seq": seq, "kind": "like"}),
                ("group.create", {"group": f"made{number}"}),
                ("room.leave", {"room": "hall"}),
            ]
            for method, args in calls:
                world.im.on_call(session, next(world.numbers), method, msgspec.msgpack.encode(args))
            for target in ("u/bob", "g/mine"):
                payload = msgspec.msgpack.encode([f"c{number}{target[0]}", 0, {"text": "hi"}, None, None])
                world.im.on_sends([(session, next(world.numbers), target, payload)])
            await until(lambda connection=connection: len(connection.replies) == 5)
            assert {code for code, _ in connection.replies.values()} == {Code.ACCOUNT_DISABLED}
            assert all(said[1]["until_ms"] == until_ms for _, said in connection.replies.values())
            await world.settle()
        assert await world.attempt("group.info", {"group": f"made{number}"}) == Code.GROUP_NOT_FOUND


async def test_nobody_sees_a_disabled_account_come_online(tmp_path: Path) -> None:
    async with open_world(tmp_path) as world:
        await disabled_world(world)
        carl = await world.login("carl")
        await carl.ok("presence.subscribe", users=["alice"], seconds=600)
        await world.login("alice")
        assert not (await carl.ok("presence.subscribe", users=["alice"], seconds=600))["states"][0]["online"]
        assert not [said for kind, said in carl.connection.events if kind == 4 and said[1]]
        assert world.im.stats()["sessions"] == 2


async def test_an_account_is_live_again_when_its_time_is_over(tmp_path: Path) -> None:
    async with open_world(tmp_path) as world:
        await disabled_world(world)
        world.clock.advance(3_600_001)
        alice = await world.login("alice")
        await alice.ok("group.mine")
        await alice.said("u/bob")


async def test_nothing_is_delivered_after_the_answer_that_disables_an_account(tmp_path: Path) -> None:
    async with open_world(tmp_path) as world:
        alice, bob = await world.login("alice"), await world.login("bob")
        desk = await world.login("alice", "desk", 4)
        await bob.forced("group.create", group="mine", members=["alice"])
        await bob.said("u/alice", "before")
        await world.invoke("account.disable", {"user": "alice"})
        heard = [(len(each.connection.messages), len(each.connection.events)) for each in (alice, desk)]
        await bob.said("u/alice")
        await bob.said("g/mine")
        await bob.said("g/mine", options={"target": {"ids": ["alice"]}})
        await bob.ok("friend.request", user="alice")
        after = [(len(each.connection.messages), len(each.connection.events)) for each in (alice, desk)]
        assert after == heard
        assert [each.connection.closed for each in (alice, desk)] == [4005, 4005]


async def test_nor_at_a_login_before_the_store_has_said_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_world(tmp_path) as world:
        bob = await world.login("bob")
        await world.invoke("account.disable", {"user": "alice"})
        go_on, logins = asyncio.Event(), world.store.logins

        async def late(*args: Any) -> Any:
            await go_on.wait()
            return await logins(*args)

        monkeypatch.setattr(world.store, "logins", late)
        session = Session(1, next(world.numbers), "alice", "phone")
        connection = world.downlink.connect(session, 99)
        world.im.on_login(session, 1, 99)
        said = {"sender": "@system", "target": "u/alice", "body": {"text": "x"}}
        try:
            await bob.said("u/alice")
            await world.invoke("message.send", said)
            assert connection.messages == []
        finally:
            go_on.set()
        await world.settle()
        assert (connection.closed, connection.messages) == (4005, [])
