"""Locks of those who have a store open: seen by each other, gone with their holder."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from im_service.storage.holders import Holders
from im_service.storage.postgres.holders import LockHolders
from im_service.storage.sqlite.holders import SUFFIX, FileHolders
from tests.support.postgres_server import PostgresServer

ONE, TWO, THREE = (0xA1B2C3D4E5F6 << 8 | number for number in (1, 2, 255))
Make = Callable[[], Holders]


@pytest.fixture(scope="module")
def dsn() -> Iterator[str]:
    with PostgresServer() as server:
        yield server.dsn()


@pytest.fixture(params=["sqlite", "postgres"])
def make(request: pytest.FixtureRequest, tmp_path: Path) -> Make:
    if request.param == "sqlite":
        return lambda: FileHolders(tmp_path)
    address = request.getfixturevalue("dsn")
    return lambda: LockHolders(address)


async def test_each_sees_the_others_and_nobody_who_has_left(make: Make) -> None:
    one, two, three = make(), make(), make()
    await one.hold(ONE)
    assert await one.others(ONE) == []
    await two.hold(TWO)
    await two.hold(TWO)
    await three.hold(THREE)
    assert sorted(await one.others(ONE)) == [TWO, THREE]
    assert sorted(await three.others(THREE)) == [ONE, TWO]
    await two.release()
    await one.release()
    seen = await three.others(THREE)
    while seen:  # PostgreSQL lets go a moment after the connection is gone
        seen = await three.others(THREE)
    await three.release()


async def test_a_file_without_a_holder_is_removed(tmp_path: Path) -> None:
    (tmp_path / f"{ONE:014x}{SUFFIX}").touch()
    two = FileHolders(tmp_path)
    await two.hold(TWO)
    assert await two.others(TWO) == []
    assert os.listdir(tmp_path) == [f"{TWO:014x}{SUFFIX}"]
    await two.release()
    assert os.listdir(tmp_path) == []
