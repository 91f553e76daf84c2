"""Every test that opens a world runs on both stores, unless its module says `ENGINES = ("sqlite",)`."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.im_world import on_postgres

BOTH = ("sqlite", "postgres")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "engine" in metafunc.fixturenames:
        metafunc.parametrize("engine", getattr(metafunc.module, "ENGINES", BOTH), indirect=True)


@pytest.fixture(autouse=True)
async def engine(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The store of the worlds that this test opens in its tmp_path."""
    name = str(request.param)
    if name == "postgres":
        await on_postgres(tmp_path, request.getfixturevalue("postgres_server"))
    return name
