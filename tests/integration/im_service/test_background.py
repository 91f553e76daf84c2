"""Work that no request asks for goes on after any error, whatever it was."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from im_service.push.ports import Done, NoPush, Push, nobody_waits
from im_service.settings import ImSettings
from tests.support.im_world import open_world, until


async def test_expiry_goes_on_after_any_error_and_says_what_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    asked: list[object] = []

    async def expire(*args: object) -> int:
        asked.append(args)
        raise RuntimeError("on purpose")

    async with open_world(tmp_path, ImSettings(expire_every_ms=10)) as world:
        monkeypatch.setattr(world.store, "expire", expire)
        await until(lambda: len(asked) > 2)
    assert "background work failed" in caplog.text


async def test_pushes_go_on_after_any_error(tmp_path: Path) -> None:
    class Port(NoPush):
        def __init__(self) -> None:
            self.offered: list[str] = []

        def offer(self, pushes: Sequence[Push], done: Done = nobody_waits) -> None:
            self.offered += [push.user for push in pushes]
            if len(self.offered) == 1:
                raise RuntimeError("on purpose")
            done()

    port = Port()
    async with open_world(tmp_path, push=port) as world:
        ann = await world.login("ann")
        for friend in ("ben", "carl"):
            person = await world.login(friend)
            await person.pushed_to()
            await person.logout()
            await ann.said(f"u/{friend}")
        await until(lambda: port.offered == ["ben", "carl"])
        await world.settle()


async def test_logins_and_logouts_go_on_after_any_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(user: str) -> None:
        raise RuntimeError("on purpose")

    async with open_world(tmp_path) as world:
        with monkeypatch.context() as faulty:
            faulty.setattr(world.im.presence, "came", fail)
            await (await world.login("ann")).logout()
        ben = await world.login("ben")
        await ben.said("u/ann")
        await ben.logout()
        assert [device.online for device in await world.store.devices("ben")] == [False]
