"""What operators look at is answered from memory while its engine is away."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from control.coordination import remembered
from control.coordination.documents import Document, DocumentsUnavailable, Listing
from control.coordination.remembered import Remembered
from control.coordination.sqlite_documents import SqliteDocuments


class Engine(SqliteDocuments):
    """`away`: as etcd whose members are gone, at first only slow, then known to be."""

    away = False
    told = False

    def problem(self) -> str | None:
        return "etcd: away" if self.told else super().problem()

    async def get(self, key: str) -> Document | None:
        await self._answers()
        return await super().get(key)

    async def list(self, prefix: str) -> Listing:
        await self._answers()
        return await super().list(prefix)

    async def _answers(self) -> None:
        if self.told:
            raise DocumentsUnavailable("etcd: away")
        if self.away:
            await asyncio.Event().wait()


@pytest.fixture
async def engine(tmp_path: Path) -> AsyncIterator[Engine]:
    made = Engine(tmp_path / "c.sqlite3")
    await made.start()
    yield made
    await made.stop()


@pytest.mark.parametrize("told", [False, True])
async def test_reads_are_answered_with_their_revision_and_changes_are_not(
    engine: Engine, told: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remembered, "READ_S", 0.05)
    held = Remembered(engine, ("drain/",))
    put = await engine.put("drain/a", b"1")
    await engine.put("revoked/a", b"1")
    await held.start()
    assert await held.get("drain/a") == put
    engine.away, engine.told = True, told
    assert await held.get("drain/a") == put
    assert await held.get("drain/b") is None
    assert await held.list("drain/") == Listing((put,), put.revision + 1)
    if told:
        with pytest.raises(DocumentsUnavailable):
            await held.list("revoked/")
    await held.stop()


async def test_many_reads_of_an_engine_that_stands_still_cost_no_more_than_one(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remembered, "READ_S", 0.3)
    held = Remembered(engine, ("drain/", "storm/"))
    await held.start()
    engine.away = True
    began = time.monotonic()
    for _ in range(20):
        await held.list("drain/")
        await held.get("storm/cluster")
    assert time.monotonic() - began < 20 * 0.3
    await held.stop()


async def test_what_was_never_read_is_not_shown_as_empty(engine: Engine) -> None:
    engine.told = True
    held = Remembered(engine, ("drain/",))
    await held.start()
    with pytest.raises(DocumentsUnavailable, match="etcd: away"):
        await held.list("drain/")
    await held.stop()
