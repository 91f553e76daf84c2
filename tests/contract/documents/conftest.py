"""Each engine of documents, and a second handle on the same store, as another process has it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from itertools import count
from pathlib import Path

import pytest

from control.coordination.documents import Documents
from control.coordination.etcd.client import connect
from control.coordination.etcd.documents import EtcdDocuments
from control.coordination.sqlite_documents import SqliteDocuments
from tests.support.etcd_cluster import EtcdCluster

ENGINES = ("sqlite", "etcd")
_prefixes = count()


@pytest.fixture(scope="module")
def etcd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EtcdCluster]:
    with EtcdCluster(tmp_path_factory.mktemp("etcd")) as cluster:
        yield cluster


@asynccontextmanager
async def in_sqlite(folder: Path) -> AsyncIterator[tuple[Documents, Documents]]:
    one, other = (SqliteDocuments(folder / "coordination.sqlite3") for _ in range(2))
    await one.start()
    await other.start()
    yield one, other
    await other.stop()
    await one.stop()


@asynccontextmanager
async def in_etcd(etcd: EtcdCluster) -> AsyncIterator[tuple[Documents, Documents]]:
    section = etcd.section(prefix=f"contract-{next(_prefixes)}/")
    one, other = await connect(section), await connect(section)
    yield EtcdDocuments(one), EtcdDocuments(other)
    await other.close()
    await one.close()


@pytest.fixture(params=ENGINES)
async def pair(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[tuple[Documents, Documents]]:
    if request.param == "sqlite":
        made = in_sqlite(tmp_path)
    else:
        made = in_etcd(request.getfixturevalue("etcd"))
    async with made as documents:
        yield documents


@pytest.fixture
def documents(pair: tuple[Documents, Documents]) -> Documents:
    return pair[0]
