"""Two im processes over one store: one has the login, the other the room or the conversation."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest

from im_service.context import Ports
from im_service.ports import LiveDevices, Session
from im_service.service import ImService
from tests.support.im_two_processes import Everywhere, Wire, at, begin, two_processes
from tests.support.im_world import Person, open_world


async def test_a_room_at_the_other_process_is_left_with_the_connection(tmp_path: Path) -> None:
    async with two_processes(tmp_path) as (world, other, there, _back):
        await world.invoke("room.create", {"room": "hall"})
        alice, bob = await world.login("alice"), await world.login("bob")
        for person in (alice, bob):
            joined = await at(other, world, person, "room.join", room="hall")
            assert isinstance(joined, dict)
        await there.deliver()
        assert (await other.room_table.get("hall")).online == 2
        await alice.logout()
        await there.deliver()
        assert (await other.room_table.get("hall")).online == 1
        assert bob.connection.notices("room.exit")[0]["user"] == "alice"


async def test_a_watcher_at_the_other_process_hears_of_a_login(tmp_path: Path) -> None:
    async with two_processes(tmp_path) as (world, other, there, _back):
        alice = await world.login("alice")
        await at(other, world, alice, "presence.subscribe", users=["bob"])
        bob = await world.login("bob")
        await there.deliver()
        await world.login("bob", "tablet", 6)
        await there.deliver()

        def told() -> list[Any]:
            return [body for kind, body in alice.connection.events if kind == 4]

        phone, tablet = ({"device": d, "platform": p} for d, p in (("phone", 1), ("tablet", 6)))
        assert told() == [["bob", True, [phone]], ["bob", True, [phone, tablet]]]
        await bob.logout()
        await there.deliver()
        assert told()[-1] == ["bob", True, [tablet]]


async def test_watchers_hear_the_process_that_serves_a_user_not_what_is_left_of_an_earlier_one(
    tmp_path: Path,
) -> None:
    async with two_processes(tmp_path) as (world, other, _there, back):
        alice, bob = await world.login("alice"), await world.login("bob")
        await alice.ok("presence.subscribe", users=["bob"])
        other.on_session(bob.session, 1, 1)  # it serves bob from now on
        begin(other, world, "bob", "tablet")
        await other.settle()
        await back.deliver()
        told = [body[2] for kind, body in alice.connection.events if kind == 4]
        assert [device["device"] for device in told[-1]] == ["phone", "tablet"]
        for session in [c.session for c in world.downlink.connections.values() if c.session.user == "bob"]:
            world.downlink.disconnect(session)
            other.on_logout(session, 1000)
        await other.settle()
        await back.deliver()
        assert [body[1] for kind, body in alice.connection.events if kind == 4][-1] is False


@pytest.mark.parametrize("goes_on", [True, False])
async def test_the_end_of_a_session_here_says_nothing_of_those_that_another_process_serves(
    tmp_path: Path, goes_on: bool
) -> None:
    """The set of im processes changed: the user's next login went to the other one."""
    there, back = Wire(), Wire()
    async with open_world(tmp_path, peers=there) as world:
        everywhere = Everywhere(world.downlink)
        other = ImService(world.store, Ports(world.downlink, world.clock, back, everywhere))
        there.other, back.other = other, world.im
        alice = await world.login("alice")
        await alice.ok("presence.subscribe", users=["bob"])
        begin(other, world, "bob")
        await other.settle()
        session = next(c.session for c in world.downlink.connections.values() if c.session.user == "bob")
        await back.deliver()
        if goes_on:
            world.downlink.connect(session._replace(conn=99, device="tablet"), 99)
        world.downlink.disconnect(session)
        other.on_logout(session, 1000)
        await other.settle()
        await back.deliver()
        told = [body[1] for kind, body in alice.connection.events if kind == 4]
        assert told == ([True] if goes_on else [True, False])
        await other.stop()


async def test_an_answer_about_who_is_online_is_never_older_than_what_was_told_before_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    there, back = Wire(), Wire()
    async with open_world(tmp_path, peers=there) as world:
        everywhere, gate = Everywhere(world.downlink), asyncio.Event()
        ask = everywhere.devices

        async def slow(users: Sequence[str]) -> dict[str, LiveDevices]:
            found = await ask(users)
            await gate.wait()
            return found

        other = ImService(world.store, Ports(world.downlink, world.clock, back, everywhere))
        there.other, back.other = other, world.im
        alice, carl = await world.login("alice"), await world.login("carl")
        await there.deliver()
        monkeypatch.setattr(everywhere, "devices", slow)
        asked = asyncio.create_task(at(other, world, alice, "presence.subscribe", users=["bob", "carl", "d"]))
        await asyncio.sleep(0)
        await world.login("bob")
        await carl.logout()
        for kind, key in there.words:
            await other.on_peer_change(kind, key)
        gate.set()
        answer = await asked
        assert isinstance(answer, dict)
        assert [(state["user"], state["online"]) for state in answer["states"]] == [
            ("bob", True),
            ("carl", False),
            ("d", False),
        ]
        await other.stop()


async def test_a_group_changed_here_is_seen_there_and_both_count_one_log(tmp_path: Path) -> None:
    async with two_processes(tmp_path) as (world, other, there, _back):
        alice, bob = await world.login("alice"), await world.login("bob")
        await alice.forced("group.create", group="team", members=["bob"])

        async def there_says(person: Person, text: str) -> tuple[int, object]:
            request = next(world.numbers)
            payload = msgspec.msgpack.encode([text, 0, {"text": text}, None, None])
            session = Session(*person.session)
            other.on_sends([(session, request, "g/team", payload)])
            return await person.answer(request)

        answers = await asyncio.gather(
            *[there_says(bob, f"b{n}") for n in range(5)], *[alice.send("g/team", f"a{n}") for n in range(5)]
        )
        assert [code for code, _ in answers] == [0] * 10
        assert sorted(m[1] for m in alice.connection.messages if m[4] == "bob") != []
        seqs = [m[1] for m in (await alice.ok("history", conversation="g/team"))["messages"]]
        assert seqs == list(range(11, 0, -1))
        await alice.ok("group.kick", group="team", users=["bob"])
        await there.deliver()
        assert (await there_says(bob, "late"))[0] == 802


async def test_an_account_that_another_process_disabled_hears_no_more_of_this_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other's kick goes another way than what is published here: this process kicks on its own way."""
    async with two_processes(tmp_path) as (world, other, _there, back):
        alice, bob = await world.login("alice"), await world.login("bob")
        kicks: list[str] = []
        monkeypatch.setattr(world.downlink, "kick", lambda user, *how: kicks.append(user))
        await other.invoke("account.disable", {"user": "alice"})
        kicks.clear()
        await back.deliver()
        assert kicks == ["alice"]
        await bob.said("u/alice")
        assert alice.connection.messages == []
        await other.invoke("account.disable", {"user": "alice", "seconds": 0})
        await back.deliver()
        await bob.said("u/alice")
        assert len(alice.connection.messages) == 1


@pytest.mark.parametrize("changed_by", ["the process of the login", "another process"])
async def test_a_kick_or_an_invitation_during_a_login_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changed_by: str
) -> None:
    async with two_processes(tmp_path) as (world, other, there, _back):
        for group in ("left", "stays"):
            await world.invoke("group.create", {"group": group, "owner": "own", "members": ["bob"]})
        await world.invoke("group.create", {"group": "came", "owner": "own"})
        await there.deliver()
        logins, gate, read = world.store.logins, asyncio.Event(), asyncio.Event()

        async def held_back(*args: Any) -> Any:
            found = await logins(*args)
            read.set()
            await gate.wait()
            return found

        monkeypatch.setattr(world.store, "logins", held_back)
        bob = begin(other, world, "bob")
        await read.wait()
        decider = other if changed_by == "the process of the login" else world.im
        await decider.invoke("group.kick", {"group": "left", "users": ["bob"]})
        bob.topics.discard("g/came")
        await decider.invoke("group.invite", {"group": "came", "users": ["bob"]})
        bob.topics.discard("g/came")  # the inviter did not know of this gateway yet
        words, there.words = there.words, []
        for kind, key in words:
            await other.on_peer_change(kind, key)
        gate.set()
        await other.settle()
        assert bob.topics == {"u/bob", "g/stays", "g/came"}
        await world.im.invoke("message.send", {"sender": "own", "target": "g/left", "body": {"text": "x"}})
        assert {"text": "x"} not in [message[7] for message in bob.messages]


async def test_a_join_that_is_slower_than_the_kick_of_another_process_is_taken_back(tmp_path: Path) -> None:
    """Each process has its own way to the gateways: the order of two is nobody's."""
    async with two_processes(tmp_path) as (world, other, there, _back):
        await world.invoke("group.create", {"group": "team", "owner": "own", "members": ["bob"]})
        bob = begin(other, world, "bob")
        await other.settle()
        await world.invoke("group.kick", {"group": "team", "users": ["bob"]})
        bob.topics.add("g/team")  # the join arrives behind the kick
        await there.deliver()
        assert bob.topics == {"u/bob"}
