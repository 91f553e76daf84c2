"""Every test that asks for `store` or `new_store` runs on both engines."""

import itertools
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest

from im_service.storage.store import Store
from tests.support.postgres_server import PostgresServer
from tests.support.store_kit import Kit

_numbers = itertools.count(1)


async def _postgres(server: PostgresServer) -> str:
    name = f"t{next(_numbers)}"
    admin = await asyncpg.connect(server.dsn())
    await admin.execute(f"CREATE SCHEMA {name}")
    await admin.close()
    return f"{server.dsn()}&search_path={name}"


@pytest.fixture(params=["sqlite", "postgres"])
async def kit(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Kit]:
    """An empty database and a way to open stores on it."""
    if request.param == "sqlite":
        where = str(tmp_path / "store.sqlite3")
    else:
        where = await _postgres(request.getfixturevalue("postgres_server"))
    made = Kit(request.param, where)
    yield made
    await made.close()


@pytest.fixture
async def postgres_kit(postgres_server: PostgresServer) -> AsyncIterator[Kit]:
    made = Kit("postgres", await _postgres(postgres_server))
    yield made
    await made.close()


@pytest.fixture
async def store(kit: Kit) -> Store:
    return await kit.open()
