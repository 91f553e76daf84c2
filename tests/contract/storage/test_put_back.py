"""A copy is put back beside the log that a crash left: it is used as it is, or not at all."""

import os
import shutil
from pathlib import Path

import pytest

from im_service.storage.errors import StoreUnavailable
from im_service.storage.sqlite import SqliteStore, opened_file
from tests.support.store_kit import send


async def crashed(folder: Path) -> tuple[Path, Path]:
    """-> (a copy with one message, the file that a server with two messages left, its log beside it)"""
    path, left = folder / "store.sqlite3", folder / "left" / "store.sqlite3"
    left.parent.mkdir()
    store = SqliteStore(path)
    await store.start()
    await send(store, "s/a:b", "a", "before the copy")
    await store.stop()
    copy = folder / "copy"
    shutil.copy(path, copy)
    store = SqliteStore(path)
    await store.start()
    await send(store, "s/a:b", "a", "after it")
    for end in ("", "-wal", "-shm"):
        shutil.copy(f"{path}{end}", f"{left}{end}")
    await store.stop()
    assert os.stat(f"{left}-wal").st_size
    return copy, left


async def messages(path: Path) -> int:
    store = SqliteStore(path)
    await store.start()
    try:
        return (await send(store, "s/a:b", "a", "one more")).seq - 1
    finally:
        await store.stop()


@pytest.mark.parametrize("way", ["copied over", "moved there"])
async def test_a_copy_is_not_mixed_with_the_log_of_another_file(
    tmp_path: Path, way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy, left = await crashed(tmp_path)
    monkeypatch.setattr(opened_file, "LATER_S", -3600)  # as if it had been put there an hour later
    if way == "copied over":
        shutil.copy2(copy, left)
    else:
        left.unlink()
        copy.rename(left)
    with pytest.raises(StoreUnavailable, match=r"remove store\.sqlite3-wal and store\.sqlite3-shm"):
        await messages(left)
    assert os.stat(f"{left}-wal").st_size  # nothing was touched
    for end in ("-wal", "-shm"):
        os.unlink(f"{left}{end}")
    assert await messages(left) == 1


async def test_a_crash_is_recovered_from_the_log(tmp_path: Path) -> None:
    _, left = await crashed(tmp_path)
    assert await messages(left) == 2
