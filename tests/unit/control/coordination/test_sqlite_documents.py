"""Documents in a file: what only this engine can meet."""

from __future__ import annotations

from pathlib import Path

import apsw
import pytest

from control.coordination import sqlite_documents
from control.coordination.documents import Change, DocumentsUnavailable
from control.coordination.replica import Replica
from control.coordination.sqlite_documents import HISTORY, SqliteDocuments
from tests.support.sdk_client import until


async def opened(path: Path) -> SqliteDocuments:
    documents = SqliteDocuments(path)
    await documents.start()
    return documents


async def test_a_watch_whose_history_is_gone_goes_on_with_what_is_there(tmp_path: Path) -> None:
    documents = await opened(tmp_path / "c.sqlite3")
    kept = await documents.put("w/kept", b"1")
    await documents.put("w/gone", b"1")
    begun = (await documents.list("w/")).revision
    await documents.delete("w/gone")
    for n in range(HISTORY + 60):
        put = await documents.put("w/new", b"%d" % n)
    watch = documents.watch("w/", begun, {"w/kept": 1, "w/gone": 2})
    assert await anext(watch) == Change("w/new", put.value, put.revision)
    assert await anext(watch) == Change("w/gone", None, put.revision)
    last = await documents.put("w/last", b"")
    assert await anext(watch) == Change("w/last", b"", last.revision)
    assert await documents.get("w/kept") == kept
    await documents.stop()


async def test_the_history_of_large_documents_is_bounded_by_bytes(tmp_path: Path) -> None:
    documents = await opened(tmp_path / "c.sqlite3")
    for _ in range(60):
        await documents.put("large", b"x" * 1_000_000)
    await documents.stop()
    kept = apsw.Connection(str(tmp_path / "c.sqlite3")).execute(
        "SELECT sum(length(value)) FROM changes"
    ).fetchone()[0]  # fmt: skip
    assert kept < 20_000_000


def copy(source: Path, target: Path) -> None:
    """As `sqlite3 source .backup target` does it, also into a file that is in use."""
    old, new = apsw.Connection(str(source)), apsw.Connection(str(target))
    with new.backup("main", old, "main") as backup:
        backup.step()


async def test_a_file_from_a_backup_is_followed(tmp_path: Path) -> None:
    """Its revisions are older than what was seen."""
    path = tmp_path / "c.sqlite3"
    documents = await opened(path)
    await documents.put("r/a", b"old")
    copy(path, tmp_path / "backup")
    for n in range(5):
        await documents.put("r/b", b"%d" % n)
    replica = Replica(documents, "r/")
    await replica.start()
    copy(tmp_path / "backup", path)
    await until(lambda: [each.key for each in replica.all()] == ["r/a"])
    put = await documents.put("r/c", b"new")
    await until(lambda: replica.get("r/c") == put)
    await replica.stop()
    await documents.stop()


async def test_a_full_or_missing_disk_is_told_and_over_when_it_is_over(tmp_path: Path) -> None:
    with pytest.raises(DocumentsUnavailable, match="cannot be opened"):
        await opened(tmp_path / "none" / "c.sqlite3")
    path = tmp_path / "c.sqlite3"
    documents = await opened(path)
    locker = apsw.Connection(str(path))
    locker.execute("BEGIN IMMEDIATE")
    with pytest.raises(DocumentsUnavailable, match="locked"):
        await documents.put("a", b"")
    assert "locked" in (documents.problem() or "")
    locker.execute("ROLLBACK")
    await documents.put("a", b"")
    assert documents.problem() is None
    await documents.stop()
    with pytest.raises(DocumentsUnavailable):
        await documents.get("a")


@pytest.mark.parametrize("by", ["nothing", "another"])
async def test_nothing_is_written_to_a_file_that_was_removed_or_replaced(
    tmp_path: Path, by: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite_documents, "LOOK_S", 0.1)
    path = tmp_path / "c.sqlite3"
    documents = await opened(path)
    put = await documents.put("a", b"1")
    if by == "nothing":
        path.unlink()
    else:
        (tmp_path / "other").write_bytes(path.read_bytes())
        (tmp_path / "other").replace(path)
    for change in (documents.put("a", b"2"), documents.delete("a")):
        with pytest.raises(DocumentsUnavailable, match="removed or replaced"):
            await change
    assert await documents.get("a") == put
    await until(lambda: "removed or replaced" in (documents.checks()["documents"]() or ""))
    await documents.stop()


@pytest.mark.parametrize("left", ["nothing", "an empty file", "an empty database"])
async def test_a_file_that_was_lost_is_not_begun_anew(tmp_path: Path, left: str) -> None:
    """Revoked tokens would hold again, and nobody would know."""
    path = tmp_path / "c.sqlite3"
    documents = await opened(path)
    await documents.put("revoked/a", b"1")
    await documents.stop()
    path.unlink()
    if left == "an empty file":
        path.touch()
    elif left == "an empty database":
        apsw.Connection(str(path)).execute("PRAGMA user_version = 1")
    with pytest.raises(DocumentsUnavailable, match=r"remove c\.seen to begin with none"):
        await opened(path)
    (tmp_path / "c.seen").unlink()
    documents = await opened(path)
    assert not (await documents.list("")).documents
    await documents.stop()


async def test_a_file_that_is_damaged_while_it_is_used_is_told_until_it_is_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite_documents, "LOOK_S", 0.1)
    path = tmp_path / "c.sqlite3"
    documents = await opened(path)
    await documents.put("revoked/a", b"1")
    check = documents.checks()["documents"]
    apsw.Connection(str(path)).execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    whole = path.read_bytes()
    path.write_bytes(b"x" * len(whole))
    await until(lambda: "no SQLite database" in (check() or "") or "damaged" in (check() or ""))
    path.write_bytes(whole)
    await until(lambda: check() is None)
    await documents.stop()
    path.write_bytes(b"x" * len(whole))
    with pytest.raises(DocumentsUnavailable, match="no SQLite database"):
        await opened(path)
