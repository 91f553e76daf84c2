"""Rates are an account's and a device's, not a connection's."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from im_service.errors import Code
from im_service.live import sessions
from im_service.rates import Rate
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
