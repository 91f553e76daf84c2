"""What is copied."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from im_service.outbox.ports import EventFilter
from im_service.sending.hooks import Action, Verdict
from im_service.settings import EventCopy, ImSettings
from tests.support.im_ports import ScriptedHook
from tests.support.im_world import World, open_world, until

EVERYTHING = ImSettings(
    rooms_by_clients=True,
    copy=EventCopy(
        record=(
            "account", "broadcast", "moderation", "reaction", "receipt", "relation", "room", "session",
            "unkept",
        )
    ),
)  # fmt: skip


async def test_copies_say_what_happened_and_where_to(tmp_path: Path) -> None:
    async with open_world(tmp_path, ImSettings(copy=EventCopy(record=("unkept",)))) as world:
        alice = await world.login("alice")
        await alice.ok("group.create", group="team")
        await world.invoke("room.create", {"room": "hall"})
        await alice.ok("room.join", room="hall")
        await alice.said("u/bob", "a")
        await alice.said("g/team", "b", options={"env": "audit"})
        await alice.said("r/hall", "c")
        await alice.said("u/bob", "d", options={"route": False})
        await alice.ok("recall", conversation="s/alice:bob", seq=1)
        told = await world.copies()
        assert [(event.kind, event.env, event.subject) for event in told] == [
            ("group.create", None, "g/team"),
            ("message.single", None, "s/alice:bob"),
            ("message.group", "audit", "g/team"),
            ("message.room", None, "r/hall"),
            ("message.recall", None, "s/alice:bob"),
        ]
        assert told[1].data["recalled"], "a reader that comes later meets the message as it is"
        assert told[2].data["body"] == {"text": "b"}
        assert told[4].data["notice"]["seq"] == 1
        assert len({event.event_id for event in told}) == len(told)
        assert all(event_id == event.data["server_id"] for event in told for event_id in [event.event_id])


async def test_every_recorded_change_is_an_event_once(tmp_path: Path) -> None:
    async with open_world(tmp_path, EVERYTHING) as world:
        alice, bob = await world.login("alice"), await world.login("bob")
        await alice.ok("room.create", room="hall", name="Hall")
        await alice.ok("room.attributes", room="hall", put={"a": "1"})
        await alice.ok("room.role", room="hall", user="bob", role="manager")
        await alice.ok("room.mute_all", room="hall", on=True)
        await alice.ok("friend.request", user="bob")
        requests = (await bob.ok("friend.requests"))["requests"]
        await bob.ok("friend.decide", id=requests[0]["id"], accept=True)
        await alice.ok("relation.black", user="bob", on=True)
        await alice.ok("relation.black", user="bob", on=False)
        await alice.ok("profile.set", nick="Al")
        await alice.said("u/bob", "hi")
        await bob.ok("read", conversation="s/alice:bob", seq=1)
        await bob.ok("read", conversation="s/alice:bob", seq=1)
        await bob.ok("react", conversation="s/alice:bob", seq=1, kind="ok", on=True)
        await world.invoke("account.mute", {"user": "bob", "single_s": 5})
        await alice.ok("room.close", room="hall")
        await bob.logout()
        told = await world.copies()
        assert [(event.kind, event.subject) for event in told] == [
            ("session.login", "u/alice"), ("session.login", "u/bob"), ("room.create", "r/hall"),
            ("room.attributes", "r/hall"), ("room.role", "r/hall"), ("room.mute_all", "r/hall"),
            ("relation.request", "u/bob"), ("relation.friend", "u/bob"), ("relation.black", "u/alice"),
            ("relation.black", "u/alice"), ("account.profile", "u/alice"), ("message.single", "s/alice:bob"),
            ("receipt.read", "s/alice:bob"), ("message.reaction", "s/alice:bob"), ("account.mute", "u/bob"),
            ("room.close", "r/hall"), ("session.logout", "u/bob"),
        ]  # fmt: skip
        assert told[-1].data["session_id"] == told[1].data["session_id"]


async def test_what_no_view_keeps_is_acknowledged_when_its_event_is_committed(tmp_path: Path) -> None:
    async with open_world(tmp_path, EVERYTHING) as world:
        alice, bob = await world.login("alice"), await world.login("bob")
        server_id, seq = await alice.said("u/bob", "gone soon", options={"onlineOnly": True, "env": "e"})
        event = (await world.copies())[-1]
        assert (event.event_id, event.env, seq) == (str(server_id), "e", 0)
        assert bob.connection.messages[-1][2] == server_id
        await world.store.stop()
        code, _ = await alice.send("u/bob", "lost", options={"onlineOnly": True})
        assert code == 503
        assert len(bob.connection.messages) == 1, "what cannot be told is not delivered"
        await world.store.start()


async def test_nothing_is_recorded_unless_it_is_asked_for(tmp_path: Path) -> None:
    async with open_world(tmp_path) as world:
        alice = await world.login("alice")
        await alice.ok("profile.set", nick="Al")
        await alice.said("u/bob", "x", options={"onlineOnly": True})
        await alice.logout()
        assert await world.copies() == []


# Whoever is given the message is given all that is said about it, and nobody else.

AUDIT: dict[str, Any] = {"env": "audit"}
NOWHERE: dict[str, Any] = {"route": False}
OPTIONS: list[dict[str, Any] | None] = [None, AUDIT, NOWHERE]
ENVS = [None, "audit"]


async def said_in(world: World, subject: str) -> dict[str | None, list[tuple[str, object]]]:
    """What readers of each env have of a conversation: kinds, and the message or messages that they name."""
    start = await world.im.events.first()
    found: dict[str | None, list[tuple[str, object]]] = {}
    for env in ENVS:
        events = (await world.im.events.read(start, 1000, EventFilter(envs=(env,)))).events
        here = [event for event in events if event.subject == subject]
        found[env] = [(event.kind, named(event.data)) for event in here]
    every = [event.env for event in await world.copies() if event.subject == subject]
    assert len(every) == sum(map(len, found.values())), every
    return found


def named(data: Mapping[str, Any]) -> object:
    about = data.get("notice", data)
    return about.get("seqs", about.get("seq"))


async def test_what_is_said_about_messages_goes_where_they_went(tmp_path: Path) -> None:
    async with open_world(tmp_path, EVERYTHING) as world:
        alice, bob = await world.login("alice"), await world.login("bob")
        talk = "s/alice:bob"
        for options in OPTIONS:  # 1, 2, 3
            _, seq = await alice.said("u/bob", "x", options=options)
            where = {"conversation": talk, "seq": seq}
            await bob.ok("react", **where, kind="ok", on=True)
            await alice.ok("edit", **where, body={"text": "y"})
            await alice.ok("recall", **where, mode="receiver")
            await alice.ok("recall", **where)
            await world.invoke("recall", {**where, "mode": "silent"})
        told = await said_in(world, talk)
    story = ["message.single", "message.reaction", "message.edit", "message.delete", "message.recall"]
    for env, seq in zip(ENVS, (1, 6), strict=True):
        kinds = [*story, "message.delete"]
        names = [seq, seq, seq, [seq], seq, [seq]]
        assert told[env] == list(zip(kinds, names, strict=True))


async def test_a_deletion_of_several_is_told_to_each_of_those_who_have_some(tmp_path: Path) -> None:
    async with open_world(tmp_path, EVERYTHING) as world:
        alice, bob = await world.login("alice"), await world.login("bob")
        seqs = [(await alice.said("u/bob", "x", options=options))[1] for options in [*OPTIONS, *OPTIONS]]
        assert (await bob.ok("delete", conversation="s/alice:bob", seqs=seqs))["deleted"] == len(seqs)
        heard = [m[7]["seqs"] for m in bob.connection.messages if m[7].get("event") == "delete"]
        assert sorted(seq for each in heard for seq in each) == seqs, "their other devices hear of all"
        told = await said_in(world, "s/alice:bob")
    assert told[None][-1] == ("message.delete", [1, 4])
    assert told["audit"][-1] == ("message.delete", [2, 5])


async def test_what_is_left_of_a_message_goes_where_it_went(tmp_path: Path) -> None:
    async with open_world(tmp_path, EVERYTHING) as world:
        alice = await world.login("alice")
        await world.login("bob")
        for options in OPTIONS:
            _, seq = await alice.said("u/bob", "x", options=options)
            await alice.ok("recall", conversation="s/alice:bob", seq=seq, text="by mistake")
        for options in OPTIONS:
            await alice.said("u/bob", "private", options=options)
        done = world.im.erasing.done
        await world.invoke("account.erase", {"user": "alice"})
        await until(lambda: world.im.erasing.done > done)
        told = await said_in(world, "s/alice:bob")
        copy = [event for event in await world.copies() if event.subject == "s/alice:bob"]
    assert told[None] == [
        ("message.single", 1), ("message.recall", 1), ("message.single", 7), ("message.delete", [1, 7])
    ]  # fmt: skip
    assert told["audit"] == [
        ("message.single", 3), ("message.recall", 3), ("message.single", 8), ("message.delete", [3, 8])
    ]  # fmt: skip
    assert [event.data.get("erased") for event in copy if event.kind == "message.single"] == [True] * 4
    assert not any(word in str(copy) for word in ("private", "mistake"))


@pytest.mark.parametrize("history", [True, False])
@pytest.mark.parametrize("ring", [0, 10])
async def test_a_recall_in_a_room_goes_where_the_message_went(
    tmp_path: Path, history: bool, ring: int
) -> None:
    async with open_world(tmp_path, EVERYTHING) as world:
        alice = await world.login("alice")
        await world.invoke("room.create", {"room": "hall", "history": history, "ring": ring})
        await alice.ok("room.join", room="hall")
        for options in OPTIONS:
            server_id, _ = await alice.said("r/hall", "x", options=options)
            await world.invoke("room.recall", {"room": "hall", "server_id": server_id})
        told = {env: [kind for kind, _ in each if kind != "room.create"] for env, each in (
            await said_in(world, "r/hall")
        ).items()}  # fmt: skip
    if history or ring:
        assert told == {env: ["message.room", "room.recall"] for env in ENVS}
    else:  # nobody knows any more
        assert told == {None: ["message.room", *["room.recall"] * 3], "audit": ["message.room"]}


@pytest.mark.parametrize("verdict", ["pass", "reject"])
async def test_a_verdict_goes_where_the_message_was_to_go(tmp_path: Path, verdict: str) -> None:
    hook = ScriptedHook(lambda draft: Verdict(Action.HOLD))
    async with open_world(tmp_path, EVERYTHING, callback=hook) as world:
        alice = await world.login("alice")
        await world.login("bob")
        for options in OPTIONS:
            await alice.said("u/bob", "x", options=options)
        for item in (await world.invoke("moderation.queue", {}))["items"]:
            await world.invoke("moderation.decide", {"id": item["id"], "verdict": verdict, "by": "mia"})
        told = await said_in(world, "s/alice:bob")
    for env, seq in zip(ENVS, (1, 2), strict=True):
        kinds = {"moderation.verdict", "message.release" if verdict == "pass" else "message.refuse"}
        assert set(told[env]) - {("message.single", seq)} == {(kind, seq) for kind in kinds}
        assert (("message.single", seq) in told[env]) is (verdict == "pass")


async def test_a_reported_message_that_is_taken_back_is_told_where_it_went(tmp_path: Path) -> None:
    async with open_world(tmp_path, EVERYTHING) as world:
        alice, bob = await world.login("alice"), await world.login("bob")
        await world.invoke("room.create", {"room": "hall", "history": True})
        for person in (alice, bob):
            await person.ok("room.join", room="hall")
        for target, talk in (("u/bob", "s/alice:bob"), ("r/hall", "r/hall")):
            for options in OPTIONS:
                server_id, _ = await alice.said(target, "x", options=options)
                await bob.ok("message.report", conversation=talk, server_id=server_id)
        for item in (await world.invoke("moderation.queue", {}))["items"]:
            await world.invoke("moderation.decide", {"id": item["id"], "verdict": "reject", "by": "mia"})
        talks = {talk: await said_in(world, talk) for talk in ("s/alice:bob", "r/hall")}
    for talk, recall in (("s/alice:bob", "message.recall"), ("r/hall", "room.recall")):
        for env, seq in zip(ENVS, (1, 2), strict=True):
            told = [each for each in talks[talk][env] if each[0] != "room.create"]
            assert {kind for kind, _ in told[1:]} == {recall, "moderation.verdict"}
            assert [name for _, name in told] == [seq] * 3
