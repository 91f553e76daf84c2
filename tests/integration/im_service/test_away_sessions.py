"""A session that lost its connection is offline and out of its rooms, and no row is written for it; it goes
on hearing what its user and groups hear."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from frame.constants import CloseCode, EventKind
from im_service.accounts.devices import MOVED_MS, SESSION_MS_SHIFT, YOUNG_MS
from im_service.ports import Session
from im_service.settings import ImSettings, LoginPolicy
from tests.support.im_ports import RecordingPush
from tests.support.im_two_processes import at, two_processes
from tests.support.im_world import Person, World, open_world, until

ENGINES = ("sqlite",)
MOMENT_MS = 20
SOON = ImSettings(presence_moment_ms=MOMENT_MS)


def store_calls(world: World, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of all calls of the store from now on."""
    made: list[str] = []

    def counted(name: str, real: Any) -> Any:
        def call(*args: Any, **more: Any) -> Any:
            made.append(name)
            return real(*args, **more)

        return call

    for name in dir(world.store):
        if not name.startswith("_") and callable(real := getattr(world.store, name)):
            monkeypatch.setattr(world.store, name, counted(name, real))
    return made


async def away(world: World, person: Person) -> None:
    world.im.on_away(person.session)
    await world.settle()


def told(person: Person) -> list[bool]:
    """What it heard of the presence of others."""
    return [body[1] for kind, body in person.connection.events if kind == 4]


async def test_who_is_away_is_offline_and_comes_back_without_the_store(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_world(tmp_path, SOON) as world:
        ann, eve = await world.login("ann"), await world.login("eve")
        await eve.ok("presence.subscribe", users=["ann"])
        calls = store_calls(world, monkeypatch)
        await away(world, ann)
        await away(world, ann)
        assert not world.im.sessions.online("ann")
        world.clock.advance(MOMENT_MS)
        await until(lambda: told(eve) == [False])
        world.im.on_back(ann.session)
        world.im.on_back(ann.session)
        assert (world.im.sessions.online("ann"), told(eve)) == (True, [False, True])
        assert calls == []


async def test_who_is_back_within_a_moment_was_there_all_the_time_for_those_who_watch(tmp_path: Path) -> None:
    async with open_world(tmp_path, SOON) as world:
        ann, eve, tim = await world.login("ann"), await world.login("eve"), await world.login("tim")
        await eve.ok("presence.subscribe", users=["ann", "tim"])
        for _ in range(20):
            await away(world, ann)
            seen = await eve.ok("presence.subscribe", users=["ann"])
            assert seen["states"][0]["online"]
            assert not world.im.sessions.online("ann")  # messages are pushed
            world.clock.advance(MOMENT_MS - 1)
            world.im.on_back(ann.session)
        await away(world, tim)
        world.clock.advance(MOMENT_MS)
        await until(lambda: told(eve))
        assert [body[:2] for kind, body in eve.connection.events if kind == 4] == [["tim", False]]
        assert world.im.sessions.online("ann")


async def test_whoever_goes_on_at_another_gateway_looks_into_the_store_once_its_groups_are_joined(
    tmp_path: Path,
) -> None:
    async with open_world(tmp_path) as world:
        ann = await world.login("ann")
        world.im.on_logout(ann.session, 4003)
        session = Session(2, 99, "ann", "phone")
        connection = world.downlink.connect(session, 99)
        world.im.on_login(session, 1, 99, True)
        await world.settle()
        for _ in range(2):
            assert connection.events == []
            await moments_pass(world, 1)
        await until(lambda: connection.events == [(EventKind.SYNC, [None, 0])])


async def moments_pass(world: World, count: int) -> None:
    """As many rounds of MOVED_MS, each when the one before was done."""
    waits = world.im.devices._moved._waiting
    for _ in range(count):
        await until(lambda: len(waits) == 1)
        first = waits[0]
        world.clock.advance(MOVED_MS)
        await until(lambda first=first: not waits or waits[0] is not first, 4000)


async def test_a_session_whose_im_process_died_a_moment_after_it_had_moved_looks_into_the_store(
    tmp_path: Path,
) -> None:
    """The process that serves it now knows nothing of its coming but that it is here."""
    async with open_world(tmp_path) as world:
        now = world.clock.now_ms()
        heard = []
        for n, age_ms in enumerate((0, YOUNG_MS)):
            session_id = (now - age_ms) << SESSION_MS_SHIFT | n
            session = Session(2, n + 1, f"user{n}", "phone")
            heard.append(world.downlink.connect(session, session_id))
            assert world.im.devices.on_session(session, 1, session_id)
        await world.settle()
        await moments_pass(world, 2)
        await until(lambda: heard[0].events == [(EventKind.SYNC, [None, 0])])
        assert heard[1].events == []


async def test_nobody_sees_a_session_go_that_goes_on_at_another_gateway(tmp_path: Path) -> None:
    async with open_world(tmp_path, SOON) as world:
        ann, eve = await world.login("ann"), await world.login("eve")
        await eve.ok("presence.subscribe", users=["ann"])
        world.im.on_logout(ann.session, CloseCode.SUPERSEDED)
        await world.settle()
        session = Session(2, 99, "ann", "phone")
        world.downlink.connect(session, 99)
        world.im.on_login(session, 1, 99, True)
        await world.settle()
        world.clock.advance(MOMENT_MS)
        await until(lambda: not world.im.devices._leaving._waiting)
        await world.settle()
        assert False not in told(eve)
        world.im.on_logout(session, CloseCode.SUPERSEDED)  # and this time nobody comes
        await world.settle()
        assert False not in told(eve)
        world.clock.advance(MOMENT_MS)
        await until(lambda: told(eve)[-1] is False)
        other = await world.login("tim")
        await eve.ok("presence.subscribe", users=["tim"])
        world.im.on_logout(other.session, CloseCode.NORMAL)  # who leaves has left at once
        await until(lambda: [body[:2] for kind, body in eve.connection.events][-1] == ["tim", False])


async def test_messages_reach_a_session_that_is_away_and_its_user_is_pushed(tmp_path: Path) -> None:
    push = RecordingPush()
    async with open_world(tmp_path, push=push) as world:
        ann, bob = await world.login("ann"), await world.login("bob")
        await ann.pushed_to()
        await bob.forced("group.create", group="team", members=["ann"])
        await away(world, ann)
        await bob.said("u/ann", "one")
        await bob.said("g/team", "two")
        await bob.forced("group.create", group="later", members=["ann"])
        await bob.said("g/later", "three")
        await world.settle()
        texts = [message[7].get("text") for message in ann.connection.messages if message[6] == 0]
        assert texts == ["one", "two", "three"]
        assert [
            pushed.user for pushed in push.pushes if pushed.text.endswith(("one", "two", "three"))
        ] == 3 * ["ann"]
        world.im.on_back(ann.session)
        before = len(push.pushes)
        await bob.said("u/ann", "four")
        await world.settle()
        assert len(push.pushes) == before


async def test_who_is_away_has_left_the_rooms_and_joins_again_as_it_was(tmp_path: Path) -> None:
    async with open_world(tmp_path) as world:
        ann, eve = await world.login("ann"), await world.login("eve")
        await world.invoke("room.create", {"room": "hall"}, "eve")
        await ann.ok("room.join", room="hall")
        await eve.ok("room.join", room="hall")
        await away(world, ann)
        assert (await eve.ok("room.info", room="hall"))["online"] == 1
        assert "r/hall" not in ann.connection.topics
        world.im.on_back(ann.session)
        assert (await ann.send("r/hall", "hello"))[0] == 13001
        await ann.ok("room.join", room="hall")
        await ann.said("r/hall", "hello")


async def test_rooms_of_another_process_are_left_too_and_can_be_entered_at_once(tmp_path: Path) -> None:
    async with two_processes(tmp_path) as (world, other, there, _):
        ann = await world.login("ann")
        await world.invoke("room.create", {"room": "hall"}, "eve")
        await at(other, world, ann, "room.join", room="hall")
        state = other.sessions.get(ann.session)
        assert state is not None
        assert "hall" in state.rooms
        await away(world, ann)
        await there.deliver()
        assert not state.rooms
        world.im.on_back(ann.session)
        await at(other, world, ann, "room.join", room="hall")
        state = other.sessions.get(ann.session)
        assert state is not None
        assert "hall" in state.rooms


async def test_other_processes_know_who_is_away_so_that_they_are_pushed(tmp_path: Path) -> None:
    async with two_processes(tmp_path) as (world, other, there, _):
        ann = await world.login("ann")
        await there.deliver()
        assert not other.sessions.away("ann")
        await away(world, ann)
        world.downlink.disconnect(ann.session)
        await world.settle()
        await there.deliver()
        assert other.sessions.away("ann")
        world.im.on_back(ann.session)  # within the moment
        await there.deliver()
        assert not other.sessions.away("ann")


async def test_a_login_elsewhere_ends_a_device_that_is_away_as_the_policy_says(tmp_path: Path) -> None:
    async with open_world(tmp_path, ImSettings(login_policy=LoginPolicy(mode="one"))) as world:
        old = await world.login("ann", "phone")
        await away(world, old)
        await world.login("ann", "tablet")
        assert old.connection.closed == 4004


async def test_a_session_told_again_is_away_only_if_that_is_told_too(tmp_path: Path) -> None:
    async with open_world(tmp_path) as world:
        ann = await world.login("ann")
        await away(world, ann)
        world.im.on_session(ann.session, 1, ann.connection.session_id)
        assert world.im.sessions.online("ann")
        await away(world, ann)
        assert not world.im.sessions.online("ann")
        world.im.on_logout(ann.session, 0)
        await world.settle()
        assert not world.im.sessions.here("ann")
