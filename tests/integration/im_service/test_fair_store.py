"""One account that stays within its limits holds up nobody else: its calls wait behind each other."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from im_service.calls import MAX_CALLS
from im_service.errors import Code
from im_service.rates import Rate
from im_service.settings import ImSettings
from im_service.storage import shares
from im_service.storage.shares import EACH
from tests.support.im_world import Person, World, open_world, until

UNLIMITED = Rate(0.0)
DEVICES = 4
AHEAD = 16
"""Answers of others that may come before one's own: what is in the store already, and a turn each."""


async def crowd(world: World, method: str, **arguments: object) -> list[Person]:
    """One user's devices, each with as many calls under way as it may have; not waited for."""
    payload = msgspec.msgpack.encode(arguments)
    devices = [await world.login("mallory", f"d{number}") for number in range(DEVICES)]
    for device in devices:
        for request in range(1_000, 1_000 + MAX_CALLS):
            world.im.on_call(device.session, request, method, payload)
    return devices


def answered(devices: list[Person]) -> int:
    return sum(request >= 1_000 for device in devices for request in device.connection.replies)


async def people(world: World) -> Person:
    """Alice, who has talked to Bob as Mallory has."""
    alice, mallory = await world.login("alice"), await world.login("mallory")
    for each in (alice, mallory):
        await each.said("u/bob", "hello")
    return alice


@pytest.mark.parametrize(
    ("method", "arguments"), [("history", {"conversation": "s/bob:mallory"}), ("conversations", {})]
)
async def test_reads_of_one_user_do_not_wait_behind_those_of_another(
    tmp_path: Path, method: str, arguments: dict[str, object]
) -> None:
    async with open_world(tmp_path, ImSettings(call_rate=UNLIMITED)) as world:
        alice = await people(world)
        devices = await crowd(world, method, **arguments)
        await alice.ok("history", conversation="s/alice:bob")
        assert answered(devices) <= AHEAD
        await until(lambda: answered(devices) == DEVICES * MAX_CALLS)


@pytest.mark.parametrize(
    ("method", "arguments"),
    [
        ("profile.set", {"nick": "n"}),
        ("friend.alias", {"user": "bob", "alias": "b"}),
        ("ack", {"acks": {f"s/mallory:x{number}": 1 for number in range(500)}}),
    ],
)
async def test_a_message_does_not_wait_behind_the_changes_of_one_user(
    tmp_path: Path, method: str, arguments: dict[str, object]
) -> None:
    async with open_world(tmp_path, ImSettings(call_rate=UNLIMITED)) as world:
        alice = await people(world)
        devices = await crowd(world, method, **arguments)
        await alice.said("u/bob", "not behind hundreds")
        assert answered(devices) <= AHEAD + 2 * EACH
        await until(lambda: answered(devices) == DEVICES * MAX_CALLS)


async def test_what_waits_for_somebody_who_has_gone_is_not_begun(tmp_path: Path) -> None:
    """Their last words count all the same: what had not to wait is done."""
    async with open_world(tmp_path, ImSettings(call_rate=UNLIMITED)) as world:
        alice, eve = await people(world), await world.login("eve")
        payload = msgspec.msgpack.encode
        named = [f"x{number:02}" for number in range(MAX_CALLS)]
        known = [await world.im.directory.accounts.get(user) for user in named]  # nothing is to be read first
        for number, account in enumerate(known):
            arguments = {"user": account.user, "alias": "a"}
            world.im.on_call(eve.session, 1_000 + number, "friend.alias", payload(arguments))
        world.downlink.disconnect(eve.session)
        world.im.on_logout(eve.session, 1000)
        await world.settle()
        await alice.said("u/bob", "still here")
        again = await world.login("eve", "another")
        found = (await again.ok("relations", limit=200))["relations"]
        assert len(found) == EACH


async def test_a_call_that_is_too_late_is_refused_and_not_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever it waited for: its own kind, a group that many change."""
    async with open_world(tmp_path) as world:
        alice = await people(world)
        monkeypatch.setattr(shares, "WAIT_S", -1.0)
        assert (await alice.call("friend.alias", user="bob", alias="b"))[0] == Code.UNAVAILABLE
        monkeypatch.undo()
        assert (await alice.ok("relations"))["relations"] == []
        assert (await alice.call("friend.alias", user="bob", alias="b"))[0] == 0
