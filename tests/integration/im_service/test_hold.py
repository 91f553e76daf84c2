"""What is held is there for its sender alone, until somebody decides; every reader's seq stays gapless."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from im_service.errors import Code, ImError
from im_service.sending.hooks import Action, Draft, Verdict
from im_service.settings import ImSettings
from tests.support.im_ports import RecordingPush, ScriptedHook
from tests.support.im_world import Person, World, open_world

FILTERED = 4


def opinion(draft: Draft) -> Verdict:
    text = draft.body.decode("utf-8", "replace")
    if "forbidden" in text:
        return Verdict(Action.REJECT, text="not here")
    return Verdict(Action.HOLD, rule="engine") if "dubious" in text else Verdict()


async def copied(world: World) -> set[str]:
    """What consumers of the copy have: they tell repeats by the id."""
    return {event.event_id for event in await world.copies()}


class Hooked:
    """A world whose messages with `dubious` in them are held, and what left it."""

    def __init__(self, world: World, hook: ScriptedHook, push: RecordingPush) -> None:
        self.world, self.hook, self.push = world, hook, push

    async def decide(self, verdict: str, **more: Any) -> str:
        """The oldest open one."""
        queue = await self.world.invoke("moderation.queue", {})
        args = {"id": queue["items"][0]["id"], "verdict": verdict, "by": "mia", **more}
        return str((await self.world.invoke("moderation.decide", args))["state"])


@pytest.fixture
async def held(tmp_path: Path) -> AsyncIterator[Hooked]:
    hook, push = ScriptedHook(opinion), RecordingPush()
    settings = ImSettings(rooms_by_clients=True, hold_ms=60_000)
    async with open_world(tmp_path, settings, callback=hook, push=push) as world:
        yield Hooked(world, hook, push)


def texts(messages: list[Any]) -> list[Any]:
    return [m[7].get("event") or m[7].get("text") for m in messages if not m[10] & FILTERED]


async def seqs(person: Person, conversation: str) -> list[int]:
    """Of everything a pull answers, placeholders too."""
    return [m[1] for m in (await person.ok("pull", conversation=conversation, from_seq=1))["messages"]]


async def read(person: Person, conversation: str) -> list[str]:
    found = (await person.ok("history", conversation=conversation, reverse=False))["messages"]
    return texts(found)


async def team(world: World) -> tuple[Person, Person, Person]:
    alice, bob, carl = [await world.login(user) for user in ("alice", "bob", "carl")]
    await world.invoke("group.create", {"owner": "alice", "group": "team", "members": ["bob", "carl"]})
    await world.settle()
    return alice, bob, carl


async def test_a_held_message_is_seen_by_its_sender_alone(held: Hooked) -> None:
    world = held.world
    alice, bob, carl = await team(world)
    pad = await world.login("alice", "pad", 2)
    for target, talk in (("u/bob", "s/alice:bob"), ("g/team", "g/team")):
        copies, pushes = len(await copied(held.world)), len(held.push.pushes)
        code, (server_id, seq, _) = await alice.send(target, "dubious")
        assert (code, bool(server_id)) == (0, True), "its sender is answered as ever"
        assert texts(pad.connection.messages)[-1] == "dubious", "the sender's other devices have it"
        for other in (bob, carl):
            assert "dubious" not in texts(other.connection.messages)
        assert await seqs(bob, talk) == list(range(1, seq + 1)), "its number is a placeholder"
        assert "dubious" not in await read(bob, talk)
        assert "dubious" in await read(alice, talk)
        told = await world.invoke("history", {"conversation": talk})
        assert "dubious" not in texts(told["messages"]), "nor does the server's history show it"
        assert (await world.unread("bob")).get(talk, 0) == 0
        lines = (await bob.ok("conversations"))["conversations"]
        assert "dubious" not in str(lines)
        assert (await bob.call("react", conversation=talk, seq=seq, kind="+1"))[0] == 404
        assert (await alice.call("edit", conversation=talk, seq=seq, body={"text": "fine"}))[0] == 403
        assert (len(await copied(held.world)), len(held.push.pushes)) == (copies, pushes)


async def test_a_released_message_comes_at_its_seq_to_everybody_it_was_meant_for(held: Hooked) -> None:
    world = held.world
    alice, bob, _ = await team(world)
    for target, talk in (("u/bob", "s/alice:bob"), ("g/team", "g/team")):
        _, (server_id, seq, _) = await alice.send(target, "dubious")
        await alice.said(target, "next")
        await bob.catch_up()  # what lies behind it is acknowledged
        away = await world.login("bob", "desk", 3)
        copies = len(await copied(held.world))
        assert await held.decide("pass") == "passed"
        live = [m for m in bob.connection.messages if m[2] == server_id]
        assert [(m[1], m[7]["text"]) for m in live] == [(seq, "dubious")]
        notice = bob.connection.messages[-1]
        assert (notice[7]["event"], notice[7]["seq"], notice[7]["server_id"]) == ("release", seq, server_id)
        for device in (bob, away, alice):
            await device.catch_up(ack=False)
            shown = (await device.ok("pull", conversation=talk, from_seq=1))["messages"]
            assert [m[1] for m in shown] == list(range(1, shown[-1][1] + 1))
            assert "dubious" in texts(shown), "a device that had passed its number finds it there"
            assert "dubious" in texts((await device.ok("get", conversation=talk, seqs=[seq]))["messages"])
        assert await read(bob, talk) == await read(alice, talk)
        assert (await world.unread("bob"))[talk] == 2
        assert len(await copied(held.world)) == copies + 2, "the message and its notice"
        await away.logout()


async def test_a_released_message_is_pushed_to_who_is_away(held: Hooked) -> None:
    alice, dora = await held.world.login("alice"), await held.world.login("dora")
    await dora.pushed_to()
    await dora.logout()
    await alice.said("u/dora", "dubious")
    await held.world.settle()
    assert not held.push.pushes
    await held.decide("pass")
    await held.world.settle()
    assert [(push.user, push.badge) for push in held.push.pushes] == [("dora", 1)]


async def test_a_refused_message_stays_hidden_and_its_sender_hears_of_it(held: Hooked) -> None:
    alice, bob, _ = await team(held.world)
    for target, talk in (("u/bob", "s/alice:bob"), ("g/team", "g/team")):
        _, seq = await alice.said(target, "dubious")
        assert await held.decide("reject", text="not nice") == "refused"
        said = alice.connection.messages[-1]
        assert (said[7]["event"], said[7]["seq"], said[7]["text"]) == ("refuse", seq, "not nice")
        assert "refuse" not in texts(bob.connection.messages)
        assert "dubious" not in await read(bob, talk)
        assert await seqs(bob, talk) == list(range(1, seq + 2)), "the refusal takes a number, too"
        told = await held.world.invoke("history", {"conversation": talk})
        assert "dubious" not in texts(told["messages"])


async def test_what_nobody_decides_about_is_decided_by_time(held: Hooked, tmp_path: Path) -> None:
    world = held.world
    alice, bob = await world.login("alice"), await world.login("bob")
    await alice.said("u/bob", "dubious one")
    held.hook.decide = lambda draft: Verdict(Action.HOLD, rule="kind", hold_s=10, lapse=True)
    await alice.said("u/bob", "dubious two")
    world.clock.advance(10_000)
    await world.im.decisions.lapse()
    assert "dubious two" in texts(bob.connection.messages), "by the verdict's own time and default"
    await world.im.stop()
    held.hook.decide = lambda draft: Verdict()
    async with open_world(tmp_path) as later:  # its process died meanwhile
        later.clock.ms = world.clock.ms + 60_000
        await later.im.decisions.lapse()
        bob, alice = await later.login("bob", "desk"), await later.login("alice", "desk")
        assert "dubious one" not in await read(bob, "s/alice:bob")
        assert "refuse" in texts((await alice.catch_up())["s/alice:bob"])
        assert not (await later.invoke("moderation.queue", {}))["items"]
        rules = (await later.invoke("moderation.statistics", {}))["rules"]
        assert [(r["rule"], r["lapsed_refused"], r["lapsed_passed"]) for r in rules] == [
            ("engine", 1, 0),
            ("kind", 0, 1),
        ]


async def test_a_held_message_of_a_chatroom_waits_whether_the_room_has_a_history_or_not(
    held: Hooked,
) -> None:
    world = held.world
    alice, bob = await world.login("alice"), await world.login("bob")
    for name, history in (("hall", False), ("stage", True)):
        await alice.ok("room.create", room=name, history=history)
        await alice.ok("room.join", room=name)
        await bob.ok("room.join", room=name)
        await alice.said(f"r/{name}", "dubious")
        assert not bob.connection.room_messages()
        if history:
            assert await read(bob, f"r/{name}") == []
        await held.decide("pass")
        assert texts(bob.connection.room_messages()) == ["dubious"]
        if history:
            assert await read(bob, f"r/{name}") == ["dubious"]
        else:
            found = await world.invoke("history", {"conversation": f"r/{name}"})
            assert not texts(found["messages"]), "the room keeps nothing"
        bob.connection.events.clear()


async def test_what_is_to_be_seen_live_only_waits_too(held: Hooked) -> None:
    alice, bob, _ = await team(held.world)
    for target, option in itertools.product(("u/bob", "g/team"), ("onlineOnly", "receiverNoSense")):
        await alice.said(target, "dubious", options={option: True})
        assert "dubious" not in texts(bob.connection.messages)
        await held.decide("pass")
        assert "dubious" in texts(bob.connection.messages)
        assert "dubious" not in await read(bob, "s/alice:bob" if target == "u/bob" else target)
        bob.connection.messages.clear()


async def test_a_target_list_and_the_time_of_joining_hold_for_what_is_released(held: Hooked) -> None:
    world = held.world
    alice, bob, carl = await team(world)
    await alice.said("g/team", "dubious", options={"target": {"ids": ["bob"], "inclusive": True}})
    await alice.said("g/team", "dubious for all")
    await world.invoke("group.update", {"group": "team", "history": False})
    await world.invoke("group.invite", {"group": "team", "users": ["dora"]})
    dora = await world.login("dora")
    await held.decide("pass")
    await held.decide("pass")
    assert texts(bob.connection.messages).count("dubious") == 1
    for other in (carl, dora):
        assert "dubious" not in texts(other.connection.messages)
        assert "dubious" not in await read(other, "g/team")
    assert "dubious for all" in texts(carl.connection.messages)


async def gone(world: World, count: int) -> None:
    """Nothing waits any more, and the latest one says why; whoever had read the queue before is told."""
    assert not (await world.invoke("moderation.queue", {}))["items"]
    every = (await world.invoke("moderation.queue", {"state": "decided"}))["items"]
    assert [item["state"] for item in every] == ["gone"] * count
    with pytest.raises(ImError, match="taken back") as refused:
        await world.invoke("moderation.decide", {"id": every[-1]["id"], "verdict": "pass", "by": "mia"})
    assert refused.value.code == Code.CONFLICT


async def test_a_recall_comes_before_the_verdict(held: Hooked) -> None:
    alice, bob, _ = await team(held.world)
    world = held.world
    _, seq = await alice.said("u/bob", "dubious")
    await alice.ok("recall", conversation="s/alice:bob", seq=seq)
    await gone(world, 1)
    _, aside = await alice.said("u/bob", "dubious too")
    await alice.ok("recall", conversation="s/alice:bob", seq=aside, mode="receiver")
    await gone(world, 2)
    _, silent = await alice.said("u/bob", "dubious as well")
    await world.invoke("recall", {"conversation": "s/alice:bob", "seq": silent, "mode": "silent"})
    await gone(world, 3)
    assert not [m for m in bob.connection.messages if m[0] == "s/alice:bob"]
    assert await read(bob, "s/alice:bob") == []


async def test_a_repeat_of_a_held_message_is_answered_alike_and_published_to_nobody(held: Hooked) -> None:
    world = held.world
    alice, bob = await world.login("alice"), await world.login("bob")
    first = await alice.send("u/bob", "dubious", client_id="once")
    held.hook.decide = lambda draft: Verdict()
    world.im.messages._repeats.unknown_up_to(first[1][0])  # as if nobody knew that it was published
    assert await alice.send("u/bob", "dubious", client_id="once") == first
    await world.im.messages.close()
    assert not bob.connection.messages
    assert len((await world.invoke("moderation.queue", {}))["items"]) == 1


async def test_a_later_verdict_recalls_on_every_device_however_old_the_message_is(held: Hooked) -> None:
    world = held.world
    alice, bob, _ = await team(world)
    for target, talk in (("u/bob", "s/alice:bob"), ("g/team", "g/team")):
        server_id, seq = await alice.said(target, "harmless")
        await bob.logout()
        world.clock.advance(30 * 86_400_000)
        about = {"conversation": talk, "server_id": server_id, "verdict": "reject", "rule": "media"}
        assert (await world.invoke("moderation.verdict", about))["state"] == "refused"
        bob = await world.login("bob")
        shown = (await bob.catch_up(ack=False))[talk]
        assert "recall" in texts(shown)
        notice = next(m for m in shown if m[7].get("event") == "recall")
        assert (notice[7]["operator"], notice[7]["seq"]) == ("@system", seq)


async def test_a_later_verdict_recalls_in_chatrooms(held: Hooked) -> None:
    world = held.world
    alice, bob = await world.login("alice"), await world.login("bob")
    for name, history in (("hall", False), ("stage", True)):
        await alice.ok("room.create", room=name, history=history)
        await bob.ok("room.join", room=name)
        await alice.ok("room.join", room=name)
        server_id, _ = await alice.said(f"r/{name}", "harmless")
        about = {"conversation": f"r/{name}", "server_id": server_id, "verdict": "reject"}
        await world.invoke("moderation.verdict", about)
        assert [n["server_id"] for n in bob.connection.notices("room.recall")][-1] == server_id


async def test_a_later_verdict_decides_what_is_held(held: Hooked) -> None:
    world = held.world
    alice, bob = await world.login("alice"), await world.login("bob")
    server_id, _ = await alice.said("u/bob", "dubious")
    about = {"conversation": "s/alice:bob", "server_id": server_id, "verdict": "pass", "rule": "media"}
    assert (await world.invoke("moderation.verdict", about))["state"] == "passed"
    assert texts(bob.connection.messages) == ["dubious", "release"]


async def test_a_repeat_of_what_is_rejected_meanwhile_is_answered_as_the_first_time(held: Hooked) -> None:
    alice = await held.world.login("alice")
    first = await alice.send("u/bob", "harmless", client_id="once")
    assert first[0] == 0
    held.hook.decide = lambda draft: Verdict(Action.REJECT, text="not here")
    assert await alice.send("u/bob", "harmless", client_id="once") == first
    assert (await alice.send("u/bob", "other", client_id="once"))[0] == 403
    assert (await alice.send("u/carl", "harmless", client_id="once"))[0] == 403
    assert (await alice.send("u/bob", "harmless", client_id="new"))[0] == 403


async def test_what_waits_in_a_group_that_ended_is_closed(held: Hooked) -> None:
    world = held.world
    alice, _, _ = await team(world)
    await alice.said("g/team", "dubious")
    await alice.said("g/team", "dubious too")
    await alice.ok("group.dismiss", group="team")
    assert await held.decide("pass") == "passed", "there is nobody to tell"
    world.clock.advance(60_000)
    await world.im.decisions.lapse()
    assert not (await world.invoke("moderation.queue", {}))["items"]


async def test_what_its_sender_takes_from_the_receivers_is_not_released_to_them(held: Hooked) -> None:
    world = held.world
    alice, bob, _ = await team(world)
    for target, talk in (("u/bob", "s/alice:bob"), ("g/team", "g/team")):
        _, seq = await alice.said(target, "dubious")
        assert (await alice.ok("recall", conversation=talk, seq=seq, mode="receiver"))["changed"]
        for item in (await world.invoke("moderation.queue", {}))["items"]:
            await world.invoke("moderation.decide", {"id": item["id"], "verdict": "pass", "by": "mia"})
        assert "dubious" not in await read(bob, talk)
        assert "dubious" in await read(alice, talk)
        assert "dubious" not in texts(bob.connection.messages), talk
