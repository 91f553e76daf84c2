"""Each engine of documents, and a second handle on the same store, as another process has it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from control.coordination.documents import Documents
from control.coordination.sqlite_documents import SqliteDocuments

ENGINES = ("sqlite",)


@pytest.fixture(params=ENGINES)
async def pair(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[tuple[Documents, Documents]]:
    one, other = (SqliteDocuments(tmp_path / "coordination.sqlite3") for _ in range(2))
    await one.start()
    await other.start()
    yield one, other
    await other.stop()
    await one.stop()


@pytest.fixture
def documents(pair: tuple[Documents, Documents]) -> Documents:
    return pair[0]
