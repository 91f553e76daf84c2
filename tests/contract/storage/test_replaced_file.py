"""The store's file is removed or replaced under a running server: what is acked is there afterwards."""

import shutil
from pathlib import Path

import pytest

from im_service.storage.errors import StoreUnavailable
from im_service.storage.sqlite import SqliteStore
from tests.support.store_kit import everything, send


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "data" / "store.sqlite3"


async def opened(path: Path) -> SqliteStore:
    path.parent.mkdir(exist_ok=True)
    store = SqliteStore(path)
    await store.start()
    assert (await send(store, "s/a:b", "a", "first")).seq == 1
    return store


def replace(path: Path) -> None:
    path.rename(path.with_name("old"))
    path.write_bytes(path.with_name("old").read_bytes())


@pytest.mark.parametrize("name", ["store.sqlite3", "store.sqlite3-wal"])
async def test_no_ack_after_a_file_was_removed(path: Path, name: str) -> None:
    store = await opened(path)
    (path.parent / name).unlink()
    for number in range(3):
        with pytest.raises(StoreUnavailable, match=f"{name}: the file was removed"):
            await send(store, "s/a:b", "a", f"later {number}")
    with pytest.raises(StoreUnavailable, match="removed"):
        await store.set_profile("a", lambda _: b"", 1)
    await store.stop()


async def test_no_ack_after_another_file_was_put_there(path: Path) -> None:
    store = await opened(path)
    replace(path)
    with pytest.raises(StoreUnavailable, match="replaced"):
        await send(store, "s/a:b", "a", "later")
    await store.stop()


async def test_a_folder_that_is_moved_away_and_back_heals(path: Path) -> None:
    store = await opened(path)
    away = path.parent.with_name("away")
    path.parent.rename(away)
    with pytest.raises(StoreUnavailable, match="removed"):
        await send(store, "s/a:b", "a", "refused")
    away.rename(path.parent)
    assert (await send(store, "s/a:b", "a", "after")).seq == 2
    await store.stop()
    again = SqliteStore(path)
    await again.start()
    assert [m.client_id for m in await everything(again, "a", "s/a:b")] == ["first", "after"]
    await again.stop()


async def test_a_copy_is_another_file_whatever_its_inode(tmp_path: Path) -> None:
    """A file system gives the number of a removed file to the next one."""
    told = set()
    for _ in range(20):
        store = await opened(tmp_path / "data" / "store.sqlite3")
        told.add(await store._origin())
        await store.stop()
        shutil.rmtree(tmp_path / "data")
    assert len(told) == 20
