"""Catching up quickly and reading only what is lacking; expiry; changes made elsewhere; a store that is
away.
"""

from __future__ import annotations

import time
from functools import partial
from pathlib import Path

import msgspec
import pytest

from im_service.rates import Rate
from im_service.settings import DAY_MS, ImSettings, Retention
from tests.support.im_world import Person, World, open_world, until

FREE = Rate(0)
ENGINES = ("sqlite",)
UNLIMITED = ImSettings(account_rate=FREE, device_rate=FREE, conversation_rate=FREE, call_rate=FREE)


def answered(people: list[Person], expected: int) -> bool:
    return sum(len(person.connection.replies) for person in people) >= expected


async def flood(world: World, senders: list[Person], target: str, each: int) -> None:
    """Many messages from many people to one target, in batches."""
    text = msgspec.msgpack.encode({"text": "hello " * 5})
    request = 1_000_000
    for start in range(0, each, 10):
        batch = []
        for person in senders:
            for n in range(start, min(start + 10, each)):
                request += 1
                payload = msgspec.msgpack.encode([f"f{n}", 0, msgspec.Raw(text), None, None])
                batch.append((person.session, request, target, payload))
        world.im.on_sends(batch)
        await until(partial(answered, senders, len(batch)))
        for person in senders:
            assert all(code == 0 for code, _ in person.connection.replies.values())
            person.connection.replies.clear()


@pytest.mark.slow
async def test_a_hundred_thousand_messages_in_five_hundred_conversations_are_caught_up(
    tmp_path: Path,
) -> None:
    async with open_world(tmp_path, UNLIMITED) as world:
        bob = await world.login("bob")
        await bob.logout()
        for group in range(10):
            senders = [await world.login(f"s{group}-{n}") for n in range(50)]
            await flood(world, senders, "u/bob", 200)
            for person in senders:
                await person.logout()
        bob = await world.login("bob")
        start = time.perf_counter()
        got = await bob.catch_up()
        took = time.perf_counter() - start
        print(f"caught up with 100,000 messages in {took:.2f} s")
        assert len(got) == 500
        assert sum(len(messages) for messages in got.values()) == 100_000
        assert all([m[1] for m in messages] == list(range(1, 201)) for messages in got.values())
        assert await bob.catch_up() == {}


async def test_a_new_device_gets_the_last_n_and_reads_no_more(tmp_path: Path) -> None:
    settings = msgspec.structs.replace(UNLIMITED, retention=Retention(roam_count=10))
    async with open_world(tmp_path, settings) as world:
        alice, bob = await world.login("alice"), await world.login("bob")
        for n in range(30):
            await alice.said("u/bob", str(n))
        await bob.catch_up()
        world.clock.advance(1000)
        pad = await world.login("bob", "pad", 2)
        row = (await pad.ok("sync", cursor=0))["conversations"][0]
        assert row[4] == 20
        got = await pad.catch_up()
        assert [m[7]["text"] for m in got["s/alice:bob"]] == [str(n) for n in range(20, 30)]


async def test_a_reply_stays_below_its_limit_and_says_there_is_more(tmp_path: Path) -> None:
    async with open_world(tmp_path, UNLIMITED) as world:
        alice, bob = await world.login("alice"), await world.login("bob")
        for _ in range(30):
            await alice.said("u/bob", "x" * 4000)
        page = await bob.ok("pull", conversation="s/alice:bob", limit=200)
        assert page["more"]
        assert 0 < len(msgspec.msgpack.encode(page)) <= 48 * 1024
        got = await bob.catch_up()
        assert [m[1] for m in got["s/alice:bob"]] == list(range(1, 31))


async def test_what_every_limit_has_passed_is_removed(tmp_path: Path) -> None:
    keep = Retention(offline_ms=DAY_MS, roam_ms=DAY_MS, history_ms=2 * DAY_MS)
    async with open_world(tmp_path, msgspec.structs.replace(UNLIMITED, retention=keep)) as world:
        alice, bob = await world.login("alice"), await world.login("bob")
        await alice.said("u/bob", "old")
        world.clock.advance(3 * DAY_MS)
        await alice.said("u/bob", "new")
        assert await world.im.upkeep.expire() >= 1
        shown = (await bob.ok("history", conversation="s/alice:bob"))["messages"]
        assert [m[1] for m in shown] == [2]
        got = await bob.catch_up()
        assert [m[7]["text"] for m in got["s/alice:bob"]] == ["new"]


async def test_a_change_made_by_another_process_is_seen_when_it_is_told(tmp_path: Path) -> None:
    async with open_world(tmp_path, UNLIMITED) as world:
        alice = await world.login("alice")
        await alice.ok("group.create", group="team")
        assert (await alice.send("u/bob"))[0] == 0
        assert (await alice.send("g/team"))[0] == 0
        await world.store.set_relation("bob", "alice", world.clock.ms, black=True)
        await world.store.set_account("alice", world.clock.ms, mute_group_ms=world.clock.ms + 1000)
        assert (await alice.send("u/bob"))[0] == 0
        await world.im.on_peer_change("pair", "bob alice")
        await world.im.on_peer_change("account", "alice")
        assert (await alice.send("u/bob"))[0] == 7101
        assert (await alice.send("g/team"))[0] == 423


async def test_a_store_that_is_away_answers_503_and_sends_go_on_after_it(tmp_path: Path) -> None:
    async with open_world(tmp_path, UNLIMITED) as world:
        alice = await world.login("alice")
        await alice.said("u/bob")
        await world.store.stop()
        assert (await alice.send("u/bob"))[0] == 503
        assert (await alice.send("u/carl"))[0] == 503
        assert (await alice.call("sync", cursor=0))[0] == 503
        await world.store.start()
        assert (await alice.send("u/bob"))[0] == 0
        assert (await alice.send("u/carl"))[0] == 0
