"""Rates are an account's and a device's, not a connection's."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from im_service.errors import Code
from im_service.live import sessions, spent_rates
from im_service.rates import Rate
from im_service.sending import resolve
from im_service.settings import ImSettings
from tests.support.im_world import open_world

ENGINES = ("sqlite",)


@pytest.mark.parametrize(
    ("limit", "same"), [("account_rate", True), ("account_rate", False), ("device_rate", True)]
)
async def test_a_reconnect_fills_no_rate(tmp_path: Path, limit: str, same: bool) -> None:
    rates: dict[str, Any] = {limit: Rate(0.1, 3)}
    async with open_world(tmp_path, ImSettings(**rates)) as world:
        codes = []
        for number in range(12):
            alice = await world.login("alice", "phone" if same else f"phone{number}")
            codes += [(await alice.send("u/bob"))[0] for _ in range(3)]
            await alice.logout()
        assert codes == [0] * 3 + [Code.RATE_LIMITED] * 33
        world.clock.advance(10_000)
        alice = await world.login("alice")
        assert (await alice.send("u/bob"))[0] == 0


async def test_nor_the_rate_of_calls(tmp_path: Path) -> None:
    async with open_world(tmp_path, ImSettings(call_rate=Rate(0.1, 3))) as world:
        codes = []
        for _ in range(4):
            alice = await world.login("alice")
            codes += [(await alice.call("time"))[0] for _ in range(3)]
            await alice.logout()
        assert codes == [0] * 3 + [Code.RATE_LIMITED] * 9


@pytest.mark.parametrize("stays", [True, False])
async def test_nor_does_another_device(tmp_path: Path, stays: bool) -> None:
    """Clients choose the names of their devices: a new one begins with what the poorest one has left."""
    settings = ImSettings(call_rate=Rate(0.1, 3), device_rate=Rate(0.1, 3))
    async with open_world(tmp_path, settings) as world:
        calls, sends = [], []
        for number in range(4):
            alice = await world.login("alice", f"phone{number}")
            calls += [(await alice.call("time"))[0] for _ in range(3)]
            sends += [(await alice.send("u/bob"))[0] for _ in range(3)]
            if not stays:
                await alice.logout()
        assert calls == sends == [0] * 3 + [Code.RATE_LIMITED] * 9
        world.clock.advance(10_000)
        alice = await world.login("alice", "another")
        assert [(await alice.call("time"))[0] for _ in range(2)] == [0, Code.RATE_LIMITED]
        assert (await (await world.login("carl")).call("time"))[0] == 0


async def test_what_is_kept_of_those_who_left_is_bounded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sessions, "MAX_SPENT", 2)
    async with open_world(tmp_path, ImSettings(device_rate=Rate(0.1, 1))) as world:
        for user in ("alice", "bob", "carl"):
            person = await world.login(user)
            await person.said("u/dora")
            await person.logout()
        assert (await (await world.login("bob")).send("u/dora"))[0] == Code.RATE_LIMITED
        assert (await (await world.login("alice")).send("u/dora"))[0] == 0


@pytest.mark.parametrize("target", ["u/bob", "g/team"])
async def test_nor_the_rate_of_a_conversation(tmp_path: Path, target: str) -> None:
    async with open_world(tmp_path, ImSettings(conversation_rate=Rate(0.1, 3))) as world:
        await world.invoke("group.create", {"group": "team", "owner": "alice"})
        codes = []
        for number in range(4):
            alice = await world.login("alice", f"phone{number}")
            codes += [(await alice.send(target))[0] for _ in range(3)]
            await alice.call("conversation.clear", conversation="s/alice:bob", up_to_seq=3)
            await alice.logout()
        assert codes == [0] * 3 + [Code.RATE_LIMITED] * 9
        world.clock.advance(10_000)
        assert (await (await world.login("alice")).send(target))[0] == 0


async def test_nor_does_a_crowd_of_targets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resolve, "MAX_ROUTES", 2)
    async with open_world(tmp_path, ImSettings(conversation_rate=Rate(0.1, 1))) as world:
        alice = await world.login("alice")
        for number in range(5):
            await alice.said(f"u/bob{number}")
        assert [(await alice.send(f"u/bob{number}"))[0] for number in range(5)] == [Code.RATE_LIMITED] * 5


async def test_what_is_kept_of_conversations_is_what_is_not_full_again_and_bounded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spent_rates, "MAX_KEPT", 2)
    async with open_world(tmp_path, ImSettings(conversation_rate=Rate(0.1, 1))) as world:
        for user in ("alice", "carl", "dora"):
            person = await world.login(user)
            await person.said("u/bob")
            await person.logout()
        kept = world.im.sessions.rates._held
        assert len(kept) == 2
        assert (await (await world.login("carl")).send("u/bob"))[0] == Code.RATE_LIMITED
        assert (await (await world.login("alice")).send("u/bob"))[0] == 0
        world.clock.advance(10_001)
        eve = await world.login("eve")
        await eve.said("u/bob")
        await eve.logout()
        assert len(kept) == 1
