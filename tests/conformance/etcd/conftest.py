"""A real etcd for the tests of a module, and a client with keys of its own for each test."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from itertools import count

import pytest

from control.coordination.etcd.client import EtcdClient, connect
from tests.support.etcd_cluster import EtcdCluster

_prefixes = count()


@pytest.fixture(scope="module")
def etcd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EtcdCluster]:
    """One member."""
    with EtcdCluster(tmp_path_factory.mktemp("etcd")) as cluster:
        yield cluster


@pytest.fixture(scope="module")
def three(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EtcdCluster]:
    """Three members, all well again for the next test."""
    with EtcdCluster(tmp_path_factory.mktemp("etcd"), 3) as cluster:
        yield cluster


@pytest.fixture
def prefix() -> str:
    return f"test-{next(_prefixes)}/"


@pytest.fixture
async def client(etcd: EtcdCluster, prefix: str) -> AsyncIterator[EtcdClient]:
    made = await connect(etcd.section(prefix=prefix))
    yield made
    await made.close()
