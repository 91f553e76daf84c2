"""Who may not send says nothing by other calls either: every call with a text, by every reason."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from im_service.errors import Code
from im_service.methods import METHODS
from im_service.rates import Rate
from im_service.sending.words import NOTICED, SPOKEN
from im_service.settings import ImSettings
from tests.support.im_world import Person, World, open_world

ENGINES = ("sqlite",)

CALLS: dict[str, dict[str, Any]] = {
    "react": {"conversation": "g/team", "seq": 2, "kind": "like", "ext": "words"},
    "recall": {"conversation": "g/team", "seq": 2, "text": "words"},
    "group.create": {"name": "words"},
    "group.update": {"group": "team", "name": "words"},
    "group.nick": {"group": "team", "nick": "words"},
    "group.kick": {"group": "team", "users": ["carl"], "text": "words"},
    "group.invite": {"group": "team", "users": ["dora"], "text": "words"},
    "group.join": {"group": "other", "text": "words"},
    "friend.add": {"user": "bob", "text": "words"},
    "friend.request": {"user": "bob", "text": "words"},
    "profile.set": {"nick": "words"},
    "room.create": {"name": "words"},
    "room.update": {"room": "hall", "name": "words"},
    "room.attributes": {"room": "hall", "put": {"words": "words"}},
    "room.mute_tag": {"room": "hall", "tag": "words"},
    "room.kick": {"room": "hall", "user": "bob", "reason": "words"},
    "room.recall": {"room": "hall", "server_id": 1, "text": "words"},
    "room.queue.put": {"room": "hall", "key": "words", "value": "words"},
}
MODULE = {"room": "room_s", "friend": "single_s", "profile": "single_s"}

NOT_SEEN_BY_OTHERS = {
    "conversation.set", "edit", "friend.alias", "kick", "message.report", "push.register", "push.set",
    "push.unregister",
}  # fmt: skip
"""Texts for the caller's own devices and for those who moderate; `edit` is judged as the send it replaces."""
IDS = {
    "conversation", "conversations", "group", "groups", "user", "users", "room", "owner", "members", "after",
    "before", "acks", "devices", "tag", "tags", "key", "remove", "role",
}  # fmt: skip


def test_every_call_with_a_text_is_admitted_like_a_send() -> None:
    for name, entry in METHODS.items():
        texts = [
            field.name
            for field in msgspec.structs.fields(entry.args)
            if ("str" in str(field.type) or "Raw" in str(field.type)) and field.name not in IDS
        ]
        if texts and not entry.server_only:
            assert name in SPOKEN.keys() | NOT_SEEN_BY_OTHERS, (name, texts)
    assert set(CALLS) == set(SPOKEN)


UNHEARD = {
    "ack", "broadcasts", "consent.get", "consent.set", "conversation.clear", "conversation.set",
    "conversations", "delete", "devices", "friend.alias", "friend.requests", "get", "group.info",
    "group.members", "group.mine", "group.requests", "history", "kick", "message.report",
    "presence.subscribe", "presence.unsubscribe", "profile.get", "pull", "push.get", "push.register",
    "push.set", "push.unregister",
    "reactions", "receipt.counts", "receipt.list", "receipts", "relations", "relation.black", "relation.mute",
    "room.info", "room.online", "room.people", "room.queue.list", "sync", "time", "unread",
}  # fmt: skip
"""Calls of which nobody else hears, but the caller's own devices."""
OF_THEIR_OWN = {"edit", "read", "receipt.report", "room.join", "room.leave"}
"""Calls that others hear of and that have bounds of their own: an edit is a send, marks only rise, and coming
and going has a budget of the room's."""


def test_of_every_call_it_is_said_who_hears_of_it() -> None:
    callable_by_clients = {name for name, entry in METHODS.items() if not entry.server_only}
    spoken = SPOKEN.keys() | NOTICED
    assert callable_by_clients == spoken | UNHEARD | OF_THEIR_OWN
    assert not spoken & (UNHEARD | OF_THEIR_OWN)


async def team(world: World) -> Person:
    """Alice owns a group with bob and carl and a room with bob, and may join another group."""
    alice, bob = await world.login("alice"), await world.login("bob")
    await alice.forced("group.create", group="team", members=["bob", "carl"])
    await bob.ok("group.create", group="other")
    await world.invoke("room.create", {"room": "hall", "owner": "alice"})
    for person in (alice, bob):
        await person.ok("room.join", room="hall")
    assert (await alice.said("g/team"))[1] == 2
    return alice


@pytest.mark.parametrize("name", CALLS)
async def test_a_muted_account_says_nothing(tmp_path: Path, name: str) -> None:
    async with open_world(tmp_path, ImSettings(rooms_by_clients=True)) as world:
        alice = await team(world)
        module = MODULE.get(name.split(".", maxsplit=1)[0], "group_s")
        await world.invoke("account.mute", {"user": "alice", module: 60})
        code, said = await alice.call(name, **CALLS[name])
        assert code == Code.MUTED, (code, said)
        assert said[1]["until_ms"] == world.clock.ms + 60_000
        world.clock.advance(60_001)
        assert (await alice.call(name, **CALLS[name]))[0] in (0, Code.NOT_FOUND)


@pytest.mark.parametrize("name", CALLS)
async def test_words_cost_what_a_send_costs(tmp_path: Path, name: str) -> None:
    async with open_world(tmp_path, ImSettings(account_rate=Rate(0.1, 2))) as world:
        alice = await team(world)
        await alice.said("g/team")
        code, said = await alice.call(name, **CALLS[name])
        assert (code, said[1]["limit"]) == (Code.RATE_LIMITED, "account")


@pytest.mark.parametrize("name", ["react", "group.nick"])
async def test_a_muted_member_of_a_group_says_nothing(tmp_path: Path, name: str) -> None:
    async with open_world(tmp_path) as world:
        alice = await team(world)
        bob = await world.login("bob")
        await alice.ok("group.mute", group="team", user="bob")
        assert (await bob.call(name, **CALLS[name]))[0] == Code.MUTED


async def test_a_muted_guest_of_a_room_puts_nothing_into_its_queue(tmp_path: Path) -> None:
    async with open_world(tmp_path) as world:
        alice = await team(world)
        bob = await world.login("bob")
        await bob.ok("room.join", room="hall")
        await alice.ok("room.mute", room="hall", user="bob")
        assert (await bob.call("room.queue.put", room="hall", key="k", value="words"))[0] == Code.ROOM_MUTED
        await alice.ok("room.mute", room="hall", user="bob", seconds=0)
        await alice.ok("room.mute_all", room="hall", on=True)
        answer = await bob.call("room.queue.put", room="hall", key="k", value="words")
        assert answer[0] == Code.ROOM_MUTED_ALL
        await alice.ok("room.queue.put", room="hall", key="k", value="words")


@pytest.mark.parametrize("answer", [7101, 0])
async def test_who_is_blacklisted_reaches_nobody_by_a_reaction_or_the_text_of_a_recall(
    tmp_path: Path, answer: int
) -> None:
    async with open_world(tmp_path, ImSettings(blacklist_answer=answer)) as world:
        alice, bob = await world.login("alice"), await world.login("bob")
        _, seq = await alice.said("u/bob")
        talk = "s/alice:bob"
        await bob.ok("relation.black", user="alice")
        code, said = await alice.call("react", conversation=talk, seq=seq, kind="like", ext="words")
        assert code == answer
        assert answer or said["changed"]
        assert (await bob.ok("reactions", conversation=talk, seqs=[seq]))["reactions"] == []
        assert not bob.connection.notices("reaction")
        code, _ = await alice.call("recall", conversation=talk, seq=seq, text="words", attach="words")
        assert code == answer
        if answer:
            await alice.ok("recall", conversation=talk, seq=seq)
        assert "words" not in repr(await bob.ok("history", conversation=talk))


async def test_who_is_muted_still_takes_back_and_takes_away(tmp_path: Path) -> None:
    async with open_world(tmp_path) as world:
        alice = await team(world)
        await alice.ok("react", **CALLS["react"])
        await world.invoke("account.mute", {"user": "alice", "group_s": 60})
        await alice.ok("react", conversation="g/team", seq=2, kind="like", on=False)
        await alice.ok("group.nick", group="team", nick="")
        await alice.ok("recall", conversation="g/team", seq=2)
