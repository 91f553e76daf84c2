"""A PostgreSQL that is lost: before the commit nothing happened, in it nobody knows."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, cast

import asyncpg
import pytest

from im_service.storage.errors import StoreUnavailable, StoreUnknown
from im_service.storage.postgres.writer import Writer
from im_service.storage.queue import Attempt


class Lost:
    """A pool with one connection that is lost `at` some moment of a transaction."""

    def __init__(self, at: str) -> None:
        self._at = at

    @asynccontextmanager
    async def acquire(self) -> AsyncIterator[Lost]:
        self._passes("acquire")
        yield self

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[None]:
        self._passes("begin")
        yield
        self._passes("commit")

    def _passes(self, moment: str) -> None:
        if moment == self._at:
            raise asyncpg.ConnectionDoesNotExistError("connection was closed in the middle of operation")

    async def execute(self, *_: Any) -> None: ...

    async def executemany(self, *_: Any) -> None: ...

    async def expire_connections(self) -> None: ...

    async def fetch(self, *_: Any) -> list[Any]:
        return []


@pytest.mark.parametrize("at", ["acquire", "begin", "commit"])
async def test_only_a_commit_leaves_the_outcome_unknown(at: str) -> None:
    writer = Writer(cast(asyncpg.Pool, Lost(at)), 0, 10, 10)
    with pytest.raises(StoreUnavailable) as caught:
        await writer._attempt(Attempt([], 0))
    assert isinstance(caught.value, StoreUnknown) == (at == "commit")
