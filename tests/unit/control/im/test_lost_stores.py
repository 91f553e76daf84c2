"""A store that was there and has nothing in it any more is no new one: the start is refused."""

from __future__ import annotations

import json
from pathlib import Path

import apsw
import pytest

from control.im.store_watch import refuse_lost
from im_service.storage.errors import StoreUnavailable
from im_service.storage.sqlite import SqliteStore


def seen(folder: Path) -> Path:
    file = folder / "store.seen"
    file.write_text(json.dumps({"incarnation": "ab" * 16, "beat": 7}))
    return file


def nothing(path: Path) -> None: ...


def without_schema(path: Path) -> None:
    conn = apsw.Connection(str(path))
    conn.execute("PRAGMA journal_mode=WAL").fetchall()
    conn.close()


@pytest.mark.parametrize(
    ("left", "said"), [(nothing, "is gone"), (Path.touch, "is empty"), (without_schema, "is empty")]
)
async def test_a_file_without_a_store_is_refused_where_there_was_one(
    tmp_path: Path, left: object, said: str
) -> None:
    path = tmp_path / "store.sqlite3"
    assert callable(left)
    left(path)
    await refuse_lost(SqliteStore(path), path, tmp_path / "store.seen")  # a first start
    with pytest.raises(StoreUnavailable, match=said):
        await refuse_lost(SqliteStore(path), path, seen(tmp_path))


async def test_a_store_whose_log_holds_all_of_it_is_there(tmp_path: Path) -> None:
    """As a crash leaves it soon after the first start."""
    path = tmp_path / "store.sqlite3"
    running = SqliteStore(path)
    await running.start()
    await refuse_lost(SqliteStore(path), path, seen(tmp_path))
    await running.stop()
