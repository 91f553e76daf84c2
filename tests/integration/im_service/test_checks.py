"""The order of checks on a send, the hooks, and the rate limits."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from im_service.rates import Rate
from im_service.sending.hooks import Action, Draft, Verdict
from im_service.settings import ImSettings
from tests.support.im_ports import ScriptedHook
from tests.support.im_world import Person, World, open_world

BURST_OF_TWO = Rate(0.001, 2)


async def disable(world: World) -> None:
    await world.invoke("account.disable", {"user": "alice"})


async def mute_module(world: World) -> None:
    await world.invoke("account.mute", {"user": "alice", "single_s": -1, "group_s": -1})


async def remove(world: World) -> None:
    await world.invoke("group.kick", {"group": "team", "users": ["alice"]})


async def mute_member(world: World) -> None:
    await world.invoke("group.mute", {"group": "team", "user": "alice"})


async def blacklist(world: World) -> None:
    await world.invoke("relation.black", {"user": "alice"}, "bob")


async def nothing(world: World) -> None:
    """This reason stands by setting: a friend is asked for, the rate is used up, or a hook refuses."""


SINGLE: list[tuple[str, int, Callable[[World], Awaitable[None]]]] = [
    ("account", 422, disable), ("module mute", 423, mute_module), ("blacklist", 7101, blacklist),
    ("friend", 403, nothing), ("rate", 416, nothing),
]  # fmt: skip
GROUP: list[tuple[str, int, Callable[[World], Awaitable[None]]]] = [
    ("account", 422, disable), ("module mute", 423, mute_module), ("membership", 802, remove),
    ("group mute", 423, mute_member), ("rate", 416, nothing),
]  # fmt: skip


@pytest.mark.parametrize("first", range(len(SINGLE)), ids=[name for name, _, _ in SINGLE])
async def test_the_earliest_reason_answers_in_a_single_chat(tmp_path: Path, first: int) -> None:
    names = [name for name, _, _ in SINGLE[first:]]
    settings = ImSettings(account_rate=BURST_OF_TWO, friend_only="friend" in names)
    async with open_world(tmp_path, settings, moderation=ScriptedHook(refuse)) as world:
        alice = await world.login("alice")
        await use_up(alice)
        for _, _, apply in SINGLE[first:]:
            await apply(world)
        assert (await alice.send("u/bob"))[0] == SINGLE[first][1]


@pytest.mark.parametrize("first", range(len(GROUP)), ids=[name for name, _, _ in GROUP])
async def test_the_earliest_reason_answers_in_a_group(tmp_path: Path, first: int) -> None:
    async with open_world(tmp_path, ImSettings(account_rate=BURST_OF_TWO)) as world:
        alice = await world.login("alice")
        await world.invoke("group.create", {"group": "team", "owner": "olga", "members": ["alice"]})
        await use_up(alice)
        reasons = [apply for _, _, apply in GROUP[first:]]
        if mute_member in reasons:
            reasons.sort(key=lambda apply: apply is remove)
        for apply in reasons:
            await apply(world)
        code, payload = await alice.send("g/team")
        assert code == GROUP[first][1]
        if GROUP[first][0] == "group mute":
            assert payload[0] == "muted in the group"


async def leave_room(world: World) -> None:
    await world.invoke("room.kick", {"room": "hall", "user": "alice"})


async def mute_in_room(world: World) -> None:
    await world.invoke("room.mute", {"room": "hall", "user": "alice"})


async def mute_tag(world: World) -> None:
    await world.invoke("room.mute_tag", {"room": "hall", "tag": "red"})


async def mute_room(world: World) -> None:
    await world.invoke("room.mute_all", {"room": "hall", "on": True})


async def mute_rooms(world: World) -> None:
    await world.invoke("account.mute", {"user": "alice", "room_s": -1})


async def black_in_room(world: World) -> None:
    """Another process put Alice on the list; the connection is not out of the room yet."""
    now = world.clock.ms
    await world.store.set_room_member("hall", "alice", now, black=True)
    room = await world.im.room_table.get("hall")
    await world.im.room_table.refresh(room.room)


ROOM: list[tuple[str, int, Callable[[World], Awaitable[None]]]] = [
    ("account", 422, disable), ("module mute", 423, mute_rooms), ("membership", 13001, leave_room),
    ("room mute", 13004, mute_in_room), ("tag mute", 13004, mute_tag), ("whole-room mute", 13005, mute_room),
    ("blacklist", 13003, black_in_room), ("rate", 416, nothing),
]  # fmt: skip


@pytest.mark.parametrize("first", range(len(ROOM)), ids=[name for name, _, _ in ROOM])
async def test_the_earliest_reason_answers_in_a_room(tmp_path: Path, first: int) -> None:
    async with open_world(tmp_path, ImSettings(account_rate=BURST_OF_TWO)) as world:
        alice = await world.login("alice")
        await world.invoke("room.create", {"room": "hall", "owner": "olga"})
        await alice.ok("room.join", room="hall", tags=["red"])
        await use_up(alice)
        reasons = [apply for _, _, apply in ROOM[first:]]
        reasons.sort(key=lambda apply: apply is leave_room)
        for apply in reasons:
            await apply(world)
        assert (await alice.send("r/hall"))[0] == ROOM[first][1]


@pytest.mark.parametrize(
    ("method", "args"),
    [
        ("account.disable", {"user": "a", "seconds": 1 << 62}),
        ("account.mute", {"user": "a", "single_s": 14403094417010616768}),
        ("group.mute", {"group": "team", "user": "a", "seconds": 1 << 50}),
        ("room.mute", {"room": "hall", "user": "a", "seconds": 1 << 50}),
        ("room.mute_tag", {"room": "hall", "tag": "red", "seconds": 1 << 63}),
        ("group.decide", {"group": "team", "id": 1 << 63, "accept": True}),
        ("recall", {"conversation": "s/a:b", "server_id": 1 << 63}),
        ("profile.set", {"nick": "a\x00b"}), ("friend.request", {"user": "b", "text": "\x00"}),
        ("room.attributes", {"room": "hall", "put": {"k\x00": "v"}}),
        ("room.attributes", {"room": "hall", "put": {"k": "\x00"}}),
        ("ack", {"acks": {"s/a:b\x00": 1}}), ("relation.black", {"user": "b\x00"}),
        ("room.queue.put", {"room": "hall", "key": "\x00"}),
        ("presence.subscribe", {"users": ["a\x00"]}),
    ],
)  # fmt: skip
async def test_what_no_store_can_hold_is_refused(tmp_path: Path, method: str, args: dict[str, Any]) -> None:
    async with open_world(tmp_path) as world:
        await world.invoke("group.create", {"group": "team", "owner": "a"})
        await world.invoke("room.create", {"room": "hall", "owner": "a"})
        assert await world.attempt(method, args, "a") == 414


async def use_up(alice: Person) -> None:
    for _ in range(2):
        await alice.send("u/dora", options={"onlineOnly": True})


def refuse(_: Draft) -> Verdict:
    return Verdict(Action.REJECT, text="no")


async def test_moderation_comes_before_the_callback(tmp_path: Path) -> None:
    callback = ScriptedHook(lambda draft: Verdict(Action.REJECT, text="callback"))
    moderation = ScriptedHook(
        lambda draft: Verdict(Action.REJECT, text="moderation") if b"bad" in draft.body else Verdict()
    )
    async with open_world(tmp_path, moderation=moderation, callback=callback) as world:
        alice = await world.login("alice")
        code, payload = await alice.send("u/bob", "bad")
        assert (code, payload[0], len(callback.drafts)) == (403, "moderation", 0)
        code, payload = await alice.send("u/bob", "good")
        assert (code, payload[0], len(callback.drafts)) == (403, "callback", 1)


async def test_a_hook_replaces_swallows_and_fails(tmp_path: Path) -> None:
    async def decide(draft: Draft) -> Verdict:
        await asyncio.sleep(0)
        if b"swallow" in draft.body:
            return Verdict(Action.SWALLOW)
        if b"break" in draft.body:
            raise OSError("engine away")
        return Verdict(Action.REPLACE, msgspec.msgpack.encode({"text": "***"}))

    async with open_world(tmp_path, moderation=ScriptedHook(decide)) as world:
        alice, bob = await world.login("alice"), await world.login("bob")
        assert (await alice.send("u/bob", "rude"))[0] == 0
        assert (await alice.send("u/bob", "swallow"))[0] == 0
        assert (await alice.send("u/bob", "break"))[0] == 503
        assert [m[7] for m in bob.connection.messages] == [{"text": "***"}]
        assert len((await alice.ok("history", conversation="s/alice:bob"))["messages"]) == 2


async def test_a_slow_hook_keeps_the_order_of_one_conversation(tmp_path: Path) -> None:
    async def decide(draft: Draft) -> Verdict:
        for _ in range(20 if b"slow" in draft.body else 1):
            await asyncio.sleep(0)
        return Verdict()

    async with open_world(tmp_path, moderation=ScriptedHook(decide)) as world:
        alice, bob = await world.login("alice"), await world.login("bob")
        await asyncio.gather(*[alice.send("u/bob", text) for text in ("slow 1", "2", "slow 3", "4")])
        assert [m[7]["text"][-1] for m in bob.connection.messages] == ["1", "2", "3", "4"]


@pytest.mark.parametrize("which", ["account_rate", "device_rate", "conversation_rate", "stranger_rate"])
async def test_each_rate_answers_416_with_the_wait(tmp_path: Path, which: str) -> None:
    async with open_world(tmp_path, msgspec.structs.replace(ImSettings(), **{which: Rate(1, 2)})) as world:
        alice = await world.login("alice")
        codes = [(await alice.send("u/bob"))[0] for _ in range(2)]
        code, payload = await alice.send("u/bob")
        assert (codes, code) == ([0, 0], 416)
        assert 0 < payload[1]["retry_after_ms"] <= 1000
        assert payload[1]["limit"] == which.removesuffix("_rate")
        world.clock.advance(payload[1]["retry_after_ms"])
        assert (await alice.send("u/bob"))[0] == 0


async def test_calls_of_a_device_have_a_rate_of_their_own(tmp_path: Path) -> None:
    async with open_world(tmp_path, ImSettings(call_rate=Rate(1, 3))) as world:
        alice, desk = await world.login("alice"), await world.login("alice", "desk", 4)
        codes = [(await alice.call("time"))[0] for _ in range(3)]
        code, payload = await alice.call("time")
        assert (codes, code) == ([0, 0, 0], 416)
        assert 0 < payload[1]["retry_after_ms"] <= 1000
        assert (await desk.call("time"))[0] == 0
        world.clock.advance(payload[1]["retry_after_ms"])
        assert (await alice.call("time"))[0] == 0


async def test_other_rates_hold_at_once_for_sends_words_and_calls(tmp_path: Path) -> None:
    async with open_world(tmp_path, ImSettings()) as world:
        alice = await world.login("alice")
        assert [(await alice.send("u/bob"))[0] for _ in range(3)] == [0, 0, 0]
        world.im.set_rates(ImSettings(account_rate=Rate(1, 2), call_rate=Rate(1, 5)))
        world.clock.advance(60_000)
        assert [(await alice.send("u/bob"))[0] for _ in range(3)] == [0, 0, 416]
        word = [(await alice.call("friend.add", user="carl", text="hello"))[0] for _ in range(2)]
        assert word[-1] == 416, "what else people read has the same rate"
        assert [(await alice.call("time"))[0] for _ in range(5)][-1] == 416
        world.im.set_rates(ImSettings())
        world.clock.advance(5000)
        assert ((await alice.send("u/bob"))[0], (await alice.call("time"))[0]) == (0, 0)


async def test_what_each_limit_counts(tmp_path: Path) -> None:
    async with open_world(tmp_path, ImSettings(device_rate=Rate(1, 1), stranger_rate=Rate(1, 1))) as world:
        alice, desk = await world.login("alice"), await world.login("alice", "desk", 4)
        await alice.forced("friend.add", user="bob")
        assert (await alice.send("u/bob"))[0] == 0
        assert (await desk.send("u/bob"))[0] == 0
        world.clock.advance(1000)
        assert (await alice.send("u/carl"))[0] == 0
        assert (await desk.send("u/carl"))[0] == 416
