"""A login while the store is out: a session is ready when the store knows it, and not before."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from frame.constants import CloseCode
from im_service.accounts import devices, gate
from im_service.ports import Session
from im_service.storage.errors import StoreUnavailable
from tests.support.im_world import Person, World, open_world, until


class Outage:
    """The store takes no login and no logout while it lasts."""

    def __init__(self) -> None:
        self.tries = 0


@contextmanager
def outage(world: World, monkeypatch: pytest.MonkeyPatch) -> Iterator[Outage]:
    seen = Outage()

    async def refuse(*_: Any) -> None:
        seen.tries += 1
        raise StoreUnavailable("the server is gone")

    with monkeypatch.context() as patch:
        patch.setattr(devices, "AGAIN_S", 0.001)
        for call in ("logins", "logouts"):
            patch.setattr(world.store, call, refuse)
        yield seen


def arrives(world: World, user: str) -> Person:
    """A login that nobody waits for."""
    number = next(world.numbers)
    session = Session(1, number, user, "phone")
    connection = world.downlink.connect(session, number)
    world.im.on_login(session, 1, number)
    return Person(world, connection, 1)


async def test_the_groups_come_when_the_store_is_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_world(tmp_path) as world:
        owner = await world.login("ann")
        await owner.forced("group.create", group="team", members=["ben"])
        with outage(world, monkeypatch) as seen:
            ben = arrives(world, "ben")
            await until(lambda: seen.tries >= 3)
        await world.settle()
        assert "g/team" in ben.connection.topics
        _, seq = await owner.said("g/team", "live")
        assert seq in [message[1] for message in ben.connection.messages]


async def test_a_disabled_account_is_ended_when_the_store_is_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_world(tmp_path) as world:
        await world.invoke("account.disable", {"user": "ben", "seconds": -1})
        with outage(world, monkeypatch) as seen:
            ben = arrives(world, "ben")
            await until(lambda: seen.tries >= 3)
        await world.settle()
        assert ben.connection.closed == CloseCode.ACCOUNT_DISABLED


async def test_calls_of_such_a_session_are_refused_and_not_kept_waiting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_world(tmp_path) as world:
        with outage(world, monkeypatch) as seen:
            monkeypatch.setattr(gate, "READY_S", 0.01)
            ben = arrives(world, "ben")
            await until(lambda: seen.tries >= 1)
            assert (await ben.call("time"))[0] == 503
        await world.settle()
        assert (await ben.call("time"))[0] == 0


async def test_who_leaves_meanwhile_is_not_logged_in_afterwards(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_world(tmp_path) as world:
        with outage(world, monkeypatch) as seen:
            ben = arrives(world, "ben")
            await until(lambda: seen.tries >= 1)
            world.downlink.disconnect(ben.session)
            world.im.on_logout(ben.session, 1000)
            await until(lambda: seen.tries >= 3)
        await world.settle()
        assert await world.store.devices("ben") == []


async def test_a_logout_in_an_outage_is_written_afterwards(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_world(tmp_path) as world:
        ben = await world.login("ben")
        with outage(world, monkeypatch) as seen:
            world.downlink.disconnect(ben.session)
            world.im.on_logout(ben.session, 1000)
            await until(lambda: seen.tries >= 3)
        await world.settle()
        (device,) = await world.store.devices("ben")
        assert device.last_logout_ms > 0


async def test_the_end_of_a_process_does_not_wait_for_the_store(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_world(tmp_path) as world:
        with outage(world, monkeypatch) as seen:
            arrives(world, "ben")
            await until(lambda: seen.tries >= 1)
            await world.im.stop()
