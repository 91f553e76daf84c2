"""Where words to a gateway or between im processes were lost, the store says who hears which group."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from frame.constants import CloseCode
from im_service.accounts import hearings
from im_service.live import memberships
from im_service.storage.errors import StoreError
from tests.support.im_two_processes import at, begin, two_processes
from tests.support.im_world import Person, World, open_world, until


@contextmanager
def cut_off(world: World) -> Iterator[None]:
    """No word of who hears what reaches a connection."""
    names = ("join", "leave", "join_user", "leave_user", "kick")
    with pytest.MonkeyPatch.context() as patch:
        for name in names:
            patch.setattr(world.downlink, name, lambda *_: None)
        yield


def hears(person: Person) -> list[str]:
    return sorted(topic[2:] for topic in person.connection.topics if topic.startswith("g/"))


def told_again(world: World, person: Person) -> None:
    world.im.on_session(person.session, person.platform, person.connection.session_id)


async def changed_meanwhile(world: World, person: Person) -> None:
    """While nothing reaches them they are put out of one group, leave one, see one end, and come into one."""
    for group in ("out", "left", "ended", "stays", "again"):
        await world.invoke("group.create", {"group": group, "members": [person.user]}, "boss")
    with cut_off(world):
        await world.invoke("group.kick", {"group": "out", "users": [person.user]}, "boss")
        await world.invoke("group.leave", {"group": "left"}, person.user)
        await world.invoke("group.dismiss", {"group": "ended"}, "boss")
        await world.invoke("group.create", {"group": "new", "members": [person.user]}, "boss")
        await world.invoke("group.kick", {"group": "again", "users": [person.user]}, "boss")
        await world.invoke("group.invite", {"group": "again", "users": [person.user]}, "boss")


@pytest.mark.parametrize("dead", [True, False], ids=["its gateway was taken for dead", "words were lost"])
async def test_a_session_that_is_told_again_hears_the_groups_of_its_user_and_no_others(
    tmp_path: Path, dead: bool
) -> None:
    async with open_world(tmp_path) as world:
        ann, boss = await world.login("ann"), await world.login("boss")
        await changed_meanwhile(world, ann)
        if dead:
            world.im.on_logout(ann.session, 1011)
            await world.settle()
        told_again(world, ann)
        await world.settle()
        assert hears(ann) == ["again", "new", "stays"]
        before = len(ann.connection.messages)
        await boss.said("g/out", "secret")
        await boss.said("g/new", "welcome")
        assert [message[0] for message in ann.connection.messages[before:]] == ["g/new"]


async def test_another_process_that_is_heard_again_may_have_changed_what_users_here_hear(
    tmp_path: Path,
) -> None:
    async with two_processes(tmp_path) as (world, other, there, _back):
        connection = begin(other, world, "ann")
        await other.settle()
        ann = Person(world, connection, 1)
        await changed_meanwhile(world, ann)
        there.words = [("all", "")]
        await there.deliver()
        assert hears(ann) == ["again", "new", "stays"]


async def test_who_was_disabled_where_the_word_was_lost_is_closed(tmp_path: Path) -> None:
    async with two_processes(tmp_path) as (world, other, there, _back):
        connection = begin(other, world, "ann")
        await other.settle()
        with cut_off(world):
            await world.invoke("account.disable", {"user": "ann"})
        assert connection.closed is None
        there.words = [("all", "")]
        await there.deliver()
        assert connection.closed == CloseCode.ACCOUNT_DISABLED


def slow(world: World, monkeypatch: pytest.MonkeyPatch, gate: asyncio.Event) -> asyncio.Event:
    """What the store says of hearings comes late. -> set when it has been read"""
    read, real = asyncio.Event(), world.store.hearings

    async def hearings_of(users: list[str]) -> Any:
        found = await real(users)
        read.set()
        await gate.wait()
        return found

    monkeypatch.setattr(world.store, "hearings", hearings_of)
    return read


@pytest.mark.parametrize("comes", [True, False])
async def test_who_comes_or_goes_while_it_is_read_is_told_last(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, comes: bool
) -> None:
    async with open_world(tmp_path) as world:
        ann = await world.login("ann")
        await world.invoke("group.create", {"group": "team", "members": ["ann"]}, "boss")
        if comes:
            await world.invoke("group.kick", {"group": "team", "users": ["ann"]}, "boss")
        gate = asyncio.Event()
        read = slow(world, monkeypatch, gate)
        told_again(world, ann)
        await until(read.is_set)
        await world.invoke(
            f"group.{'invite' if comes else 'kick'}", {"group": "team", "users": ["ann"]}, "boss"
        )
        gate.set()
        await world.settle()
        assert hears(ann) == (["team"] if comes else [])


async def test_a_change_that_is_told_behind_what_was_read_before_it_has_the_last_word(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its word to the gateways went out before, and what was read behind it."""
    async with open_world(tmp_path) as world:
        ann = await world.login("ann")
        await world.invoke("group.create", {"group": "team", "members": ["ann"]}, "boss")
        await world.invoke("group.kick", {"group": "team", "users": ["ann"]}, "boss")
        gate, refreshing = asyncio.Event(), asyncio.Event()
        read = slow(world, monkeypatch, gate)
        refresh = world.im.directory.groups.refresh

        async def late(key: str) -> None:
            refreshing.set()
            await until(lambda: gate.is_set() and hears(ann) == [])
            await refresh(key)

        told_again(world, ann)
        await until(read.is_set)
        monkeypatch.setattr(world.im.directory.groups, "refresh", late)
        adding = asyncio.create_task(
            world.invoke("group.invite", {"group": "team", "users": ["ann"]}, "boss")
        )
        await until(refreshing.is_set)
        assert hears(ann) == ["team"]
        gate.set()
        await adding
        await world.settle()
        assert hears(ann) == ["team"]
        assert memberships.LATELY_S >= 10


async def test_many_users_are_few_trips_to_the_store_and_an_outage_of_it_is_outlived(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_world(tmp_path) as world:
        people = [await world.login(f"u{number}") for number in range(20)]
        members = [person.user for person in people]
        await world.invoke("group.create", {"group": "team", "members": members}, "boss")
        with cut_off(world):
            await world.invoke("group.kick", {"group": "team", "users": members}, "boss")
        trips: list[int] = []
        real: Callable[[list[str]], Any] = world.store.hearings

        async def sometimes(users: list[str]) -> Any:
            trips.append(len(users))
            if len(trips) == 2:
                raise StoreError("away")
            return await real(users)

        monkeypatch.setattr(world.store, "hearings", sometimes)
        monkeypatch.setattr(hearings, "AT_ONCE", 8)
        monkeypatch.setattr(hearings, "AGAIN_S", 0.0)
        for person in people:
            told_again(world, person)
            told_again(world, person)
        await world.settle()
        assert trips == [8, 8, 8, 4]
        assert [hears(person) for person in people] == [[]] * 20


async def test_a_store_that_is_away_holds_up_no_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with open_world(tmp_path) as world:
        ann = await world.login("ann")
        tried = asyncio.Event()

        async def away(users: list[str]) -> Any:
            tried.set()
            raise StoreError("away")

        monkeypatch.setattr(world.store, "hearings", away)
        monkeypatch.setattr(hearings, "AGAIN_S", 0.0)
        told_again(world, ann)
        await until(tried.is_set)
        async with asyncio.timeout(10):
            await world.im.stop()


@pytest.mark.parametrize("blacker", ["ann", "ben"])
async def test_nobody_watches_on_who_was_parted_where_the_word_was_lost(tmp_path: Path, blacker: str) -> None:
    async with two_processes(tmp_path) as (world, other, there, _back):
        watching = {user: begin(other, world, user) for user in ("ann", "ben", "cat")}
        await other.settle()
        for user, connection in watching.items():
            others = sorted(watching.keys() - {user})
            await at(other, world, Person(world, connection, 1), "presence.subscribe", users=others)
        await world.invoke("relation.black", {"user": "ann" if blacker == "ben" else "ben"}, blacker)
        there.words = [("all", "")]
        await there.deliver()
        told = {user: [body[:2] for kind, body in c.events if kind == 4] for user, c in watching.items()}
        assert told == {"ann": [["ben", False]], "ben": [["ann", False]], "cat": []}
        for connection in watching.values():
            connection.events.clear()
        other.presence.came("ann")
        told = {user: [body[:2] for kind, body in c.events if kind == 4] for user, c in watching.items()}
        assert told == {"ann": [], "ben": [], "cat": [["ann", True]]}
