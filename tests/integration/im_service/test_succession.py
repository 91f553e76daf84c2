"""Pushes and questions about media that a killed process had not finished are finished by the next one."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from im_service.engines.ports import MediaRules, Unanswered
from im_service.outbox.succession import IDLE_BEATS
from im_service.push.decide import WAIT_MS
from im_service.push.settings import PushLimits
from im_service.sending.hooks import Action, Verdict
from im_service.settings import ImSettings
from tests.support.im_ports import RecordingPush, ScriptedHook
from tests.support.im_world import World, killed_world, open_world, until

IMAGE = {"url": "https://cdn.example.com/a.png"}
RULES = MediaRules(frozenset("sgr"), frozenset({1}), 100, 3, 0.001, False)


class ScriptedMedia:
    """An engine without a network: `answers` by server id, a hole where there is none."""

    def __init__(self, rules: MediaRules = RULES) -> None:
        self.rules = rules
        self.asked: list[int] = []
        self.answer: bytes | None = None

    async def ask(self, question: Mapping[str, object], read: Callable[[bytes], Any]) -> Any:
        self.asked.append(int(str(question["server_id"])))
        if self.answer is None:
            raise Unanswered("nobody is there")
        return read(self.answer)


def push_of(world: World) -> Any:
    return next(each for each in world.im._successions if each.name == "push")


async def goes_on(world: World) -> None:
    """The first beat after it is known who is there."""
    world.clock.advance(WAIT_MS)
    for each in world.im._successions:
        await each.beat()
    await world.settle()


async def absent(world: World, *users: str) -> None:
    for user in users:
        person = await world.login(user)
        await person.pushed_to()
        await person.logout()


async def test_what_waits_at_a_vendor_at_a_kill_is_pushed_afterwards_and_nothing_else(tmp_path: Path) -> None:
    names = [f"bob{n}" for n in range(6)]
    before, after = RecordingPush(), RecordingPush()
    async with killed_world(tmp_path, push=before) as world:
        alice = await world.login("alice")
        await absent(world, *names)
        await alice.said(f"u/{names[0]}", "early")
        await world.settle()
        await push_of(world).beat()
        before.holding = True
        said = {name: await alice.said(f"u/{name}", f"to {name}") for name in names}
        await alice.said(f"u/{names[5]}", "not pushed", options={"push": False})
        await world.settle()
        await push_of(world).beat()
        assert [push.text for push in before.pushes] == ["alice: early"]
        assert len(before.held) == 6
    async with killed_world(tmp_path, push=after) as world:
        alice = await world.login("alice")
        await alice.ok("recall", conversation=f"s/alice:{names[1]}", seq=said[names[1]][1])
        reader = await world.login(names[2], "pad")
        await reader.ok("read", conversation=f"s/alice:{names[2]}", seq=said[names[2]][1])
        await reader.logout()
        await world.login(names[3])  # is there again, and finds it
        await goes_on(world)
        told = {push.user: push for push in after.pushes}
        assert sorted(told) == [names[0], names[4], names[5]]
        assert len(after.pushes) == 3
        assert {user: push.collapse for user, push in told.items()} == {
            user: str(said[user][0]) for user in told
        }
        assert [told[user].badge for user in sorted(told)] == [2, 1, 2], "as it is now"
        assert world.im.stats()["push_taken_up_total"] >= 6
        await push_of(world).beat()
    async with open_world(tmp_path, push=(last := RecordingPush())) as world:
        await goes_on(world)
        assert last.pushes == []


async def test_a_message_is_done_when_its_vendor_has_it_in_whatever_order(tmp_path: Path) -> None:
    """An early one that waits keeps its place; those behind it may come again."""
    slow = RecordingPush()
    slow.holding = True
    async with killed_world(tmp_path, push=slow) as world:
        alice = await world.login("alice")
        await absent(world, "bob", "carol")
        await alice.said("u/bob", "waits")
        await world.settle()
        slow.holding = False
        for _ in range(3):
            await alice.said("u/carol", "through")
            await world.settle()
            await push_of(world).beat()
    async with open_world(tmp_path, push=(after := RecordingPush())) as world:
        await goes_on(world)
        assert "alice: waits" in [push.text for push in after.pushes]


async def test_an_heir_finishes_what_a_dead_process_left_and_the_living_are_left_alone(
    tmp_path: Path,
) -> None:
    stuck, dead = RecordingPush(), {7}
    stuck.holding = True
    async with killed_world(tmp_path, push=stuck, node=7) as world:
        alice = await world.login("alice")
        await absent(world, "bob")
        server_id, _ = await alice.said("u/bob", "hello")
        await world.settle()
    heir = RecordingPush()
    async with killed_world(tmp_path, push=heir, node=2, heir=lambda node: node in dead) as world:
        dead.clear()
        for _ in range(3):
            await push_of(world).look()
        await world.settle()
        assert heir.pushes == [], "it lives"
        dead.add(7)
        await push_of(world).look()
        await world.settle()
        assert heir.pushes == [], "it may live yet"
        heir.holding = True
        await push_of(world).look()
        await world.settle()
        assert [push.server_id for push in heir.held] == [server_id]
        assert "@push.7" in [row.name for row in await world.store.event_groups()], "it is not done"
    last = RecordingPush()
    async with open_world(tmp_path, push=last, node=3, heir=lambda node: node in {2, 7}) as world:
        for _ in range(4):
            await push_of(world).look()
            await world.settle()
        assert [push.server_id for push in last.pushes] == [server_id]
        assert [row.name for row in await world.store.event_groups()] == ["@push.3"]


async def test_old_messages_are_not_pushed_and_an_orderly_end_leaves_nothing(tmp_path: Path) -> None:
    settings = ImSettings(push=PushLimits(max_age_ms=60_000))
    stuck = RecordingPush()
    async with open_world(tmp_path, settings, push=stuck) as world:
        alice = await world.login("alice")
        await absent(world, "bob")
        await alice.said("u/bob", "done")
        await world.settle()
    stuck.holding = True
    async with killed_world(tmp_path, settings, push=stuck) as world:
        await goes_on(world)
        assert stuck.held == []
        alice = await world.login("alice")
        await alice.said("u/bob", "old", client_id="old")
        world.clock.advance(55_000)
        await alice.said("u/bob", "young", client_id="young")
        await world.settle()
        now = world.clock.ms
    async with open_world(tmp_path, settings, push=(after := RecordingPush())) as world:
        world.clock.ms = now + 10_000
        await goes_on(world)
        assert [push.text for push in after.pushes] == ["alice: young"]


async def test_what_was_released_a_moment_before_the_kill_is_pushed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hook = ScriptedHook(lambda draft: Verdict(Action.HOLD, rule="wait"))
    async with killed_world(tmp_path, push=RecordingPush(), callback=hook) as world:
        alice = await world.login("alice")
        await absent(world, "bob")
        server_id, _ = await alice.said("u/bob", "hello")
        committed = asyncio.Event()

        async def never(row: object) -> None:
            committed.set()
            await asyncio.Event().wait()

        monkeypatch.setattr(world.im.decisions._releases, "publish", never)
        (held,) = (await world.invoke("moderation.queue", {}))["items"]
        decide = {"id": held["id"], "verdict": "pass", "by": "mia"}
        deciding = asyncio.create_task(world.invoke("moderation.decide", decide))
        await committed.wait()
        await push_of(world).beat()
    assert deciding.cancelled()
    monkeypatch.undo()
    async with open_world(tmp_path, push=(after := RecordingPush())) as world:
        await goes_on(world)
        assert [push.server_id for push in after.pushes] == [server_id]


async def test_media_asked_about_before_a_kill_are_judged_after_it(tmp_path: Path) -> None:
    before, after = ScriptedMedia(RULES._replace(tries=1000, retry_s=60.0)), ScriptedMedia()
    async with killed_world(tmp_path, media_engine=before) as world:
        alice = await world.login("alice")
        bob = await world.login("bob")
        bad, seq = await alice.said("u/bob", IMAGE, type=1)
        await alice.said("u/bob", "a text is nothing for it")
        sent = {"sender": "alice", "target": "u/bob", "body": IMAGE, "type": 1}
        await world.invoke("message.send", sent)
        gone, gone_seq = await alice.said("u/bob", IMAGE, type=1)
        await until(lambda: len(before.asked) == 2)
        for each in world.im._successions:
            await each.beat()
    after.answer = b'{"verdict": "reject", "text": "not here"}'
    async with open_world(tmp_path, media_engine=after) as world:
        alice, bob = await world.login("alice"), await world.login("bob")
        await alice.ok("recall", conversation="s/alice:bob", seq=gone_seq)
        for each in world.im._successions:
            await each.beat()
        await until(lambda: world.im.stats()["media_recalled_total"] == 1)
        assert after.asked == [bad]
        notice = bob.connection.messages[-1][7]
        assert (notice["event"], notice["seq"], notice["text"]) == ("recall", seq, "not here")
        assert gone != bad


async def test_places_are_nobody_elses_and_go_with_what_they_are_for(tmp_path: Path) -> None:
    async with open_world(tmp_path, push=RecordingPush()) as world:
        assert [row.name for row in await world.store.event_groups()] == ["@push.0"]
        assert await world.im.events.groups() == []
        assert await world.im.events.group("@push.0") is None
        assert not await world.im.events.drop("@push.0")
        assert await world.attempt("events.commit", {"group": "@push.0", "cursor": "x"}) == 414
        assert [row.name for row in await world.store.event_groups()] == ["@push.0"]
    async with open_world(tmp_path) as world:
        assert await world.store.event_groups() == [], "nothing is pushed here any more"


async def test_an_idle_process_writes_nothing_and_its_place_follows_the_log(tmp_path: Path) -> None:
    async with open_world(tmp_path, push=RecordingPush()) as world:
        other = await world.login("alice")

        async def revision() -> int:
            (row,) = await world.store.event_groups("@push.0")
            return row.revision

        await push_of(world).beat()
        first = await revision()
        await other.said("u/bob", "x", options={"push": False})
        await push_of(world).beat()
        assert await revision() == first
        for _ in range(IDLE_BEATS):
            await push_of(world).beat()
        assert await revision() == first + 1


async def test_kills_at_random_moments_lose_no_push(tmp_path: Path) -> None:
    """Vendors that answer late, in any order; lives of two processes, one after the other; whoever was told
    nothing in one life is told in a later one."""
    seed = random.randrange(1 << 20)
    print(f"seed {seed}")
    rng = random.Random(seed)
    wanted: set[int] = set()
    told: set[int] = set()
    now = 0
    for life in range(4):
        vendor = SlowPush(rng, told)
        numbers = {"node": 1 + life % 2, "heir": lambda node: True}
        async with killed_world(tmp_path, push=vendor, **numbers) as world:
            world.clock.ms = max(now, world.clock.ms)
            alice = await world.login("alice")
            if not life:
                await absent(world, "bob", "carol")
            for _ in range(rng.randrange(5, 25)):
                for _ in range(rng.randrange(4)):
                    target, client_id = f"u/{rng.choice(['bob', 'carol'])}", f"{life}-{len(wanted)}"
                    server_id, _seq = await alice.said(target, client_id=client_id)
                    wanted.add(server_id)
                vendor.answer(rng.random())
                match rng.randrange(4):
                    case 0:
                        await goes_on(world)
                    case 1:
                        await push_of(world).look()
            now = world.clock.ms
    async with open_world(tmp_path, push=(last := RecordingPush()), node=1, heir=lambda node: True) as world:
        world.clock.ms = now
        await goes_on(world)
        for _ in range(2):
            await push_of(world).look()
            await world.settle()
        told |= {push.server_id for push in last.pushes}
    assert wanted == told


class SlowPush(RecordingPush):
    """Answers some of what it was given, when it is told to."""

    def __init__(self, rng: random.Random, told: set[int]) -> None:
        super().__init__()
        self._rng, self._told = rng, told
        self._open: list[tuple[int, Callable[[], None]]] = []

    def offer(self, pushes: Any, done: Callable[[], None] = lambda: None) -> None:
        self._open += [(pushes[0].server_id, done)]

    def answer(self, share: float) -> None:
        self._rng.shuffle(self._open)
        many = int(len(self._open) * share)
        for server_id, done in self._open[:many]:
            self._told.add(server_id)
            done()
        del self._open[:many]
