"""A store that was put back from a copy says so; one that goes on stays the one it was."""

from __future__ import annotations

import shutil
from pathlib import Path

import asyncpg
import pytest

from im_service.storage.move import copy_store
from im_service.storage.ops.incarnation import Beat, Seen
from im_service.storage.store import Store
from tests.support.store_kit import Kit, send

NOTHING = Seen()
FIRST, SECOND, THIRD = (bytes([number]) * 16 for number in (1, 2, 3))


def after(beat: Beat) -> Seen:
    return Seen(beat.incarnation, beat.beat)


async def again(kit: Kit) -> Store:
    await kit.close()
    return await kit.open()


async def test_a_store_that_goes_on_keeps_its_incarnation(kit: Kit) -> None:
    store, other = await kit.open(), await kit.open()
    made = await store.beat(NOTHING, FIRST, 1)
    assert (made.incarnation, made.restored) == (FIRST, "")
    seen = after(made)
    for one in (other, store, None):
        looked = await (one or await again(kit)).beat(seen, SECOND, 2)
        assert (looked.incarnation, looked.restored) == (FIRST, "")
        assert looked.beat > seen.beat
        seen = after(looked)
    store = await again(kit)
    assert (await store.beat(NOTHING, SECOND, 3)).incarnation == FIRST, "nothing seen is nothing wrong"


async def test_numbers_that_went_back_make_a_new_one(kit: Kit) -> None:
    """As with a volume put back to a snapshot: the same place, an earlier state."""
    store = await kit.open()
    old = await store.beat(NOTHING, FIRST, 1)
    for _ in range(5):
        seen = after(await store.beat(NOTHING, SECOND, 1))
    await kit.run(f"UPDATE meta SET value = {old.beat} WHERE key = 'beat'")
    looked = await (await again(kit)).beat(seen, SECOND, 2)
    assert (looked.incarnation, looked.restored) == (SECOND, "its numbers went back")
    assert looked.beat > seen.beat
    assert (await (await kit.open()).beat(after(looked), THIRD, 3)).incarnation == SECOND, "once"


async def test_a_copy_of_an_earlier_incarnation_makes_a_new_one(kit: Kit) -> None:
    """Put back a second time from the same copy: its first incarnation is one that clients know well."""
    store = await kit.open()
    await store.beat(NOTHING, FIRST, 1)
    looked = await store.beat(Seen(SECOND, 0), THIRD, 2)
    assert (looked.incarnation, looked.restored[:15]) == (THIRD, "it does not kno")


async def test_another_process_that_saw_the_older_one_goes_along(kit: Kit) -> None:
    store = await kit.open()
    seen = after(await store.beat(NOTHING, FIRST, 1))
    await store.renew(SECOND, 2)
    looked = await store.beat(seen, THIRD, 3)
    assert (looked.incarnation, looked.restored) == (SECOND, "")


async def test_a_file_put_back_from_a_copy_makes_a_new_one(tmp_path: Path) -> None:
    """With all of the folder, also what remembers the store."""
    kit = Kit("sqlite", str(tmp_path / "store.sqlite3"))
    store = await kit.open()
    seen = after(await store.beat(NOTHING, FIRST, 1))
    await kit.close()
    copy = shutil.copy(kit.where, tmp_path / "copy")
    store = await kit.open()
    await send(store, "s/a:b", "a", "lost")
    await kit.close()
    shutil.move(copy, kit.where)
    looked = await (await kit.open()).beat(seen, SECOND, 2)
    assert (looked.incarnation, looked.restored) == (SECOND, "it is a copy, or was moved")
    await kit.close()


async def test_a_database_read_back_from_a_dump_makes_a_new_one(postgres_kit: Kit) -> None:
    store = await postgres_kit.open()
    seen = after(await store.beat(NOTHING, FIRST, 1))
    await postgres_kit.close()
    admin = await asyncpg.connect(postgres_kit.where)
    await admin.execute("UPDATE incarnation SET origin = 'another cluster/1'")
    await admin.close()
    looked = await (await postgres_kit.open()).beat(seen, SECOND, 2)
    assert (looked.incarnation, looked.restored) == (SECOND, "it is a copy, or was moved")


async def test_a_move_to_postgresql_is_no_new_life(tmp_path: Path, postgres_kit: Kit) -> None:
    """Conversations, numbers and cursors go on there."""
    kit = Kit("sqlite", str(tmp_path / "store.sqlite3"))
    seen = after(await (await kit.open()).beat(NOTHING, FIRST, 1))
    await kit.close()
    await copy_store(kit.where, postgres_kit.where)
    looked = await (await postgres_kit.open()).beat(Seen(seen.incarnation, 0), SECOND, 2)
    assert (looked.incarnation, looked.restored) == (FIRST, "")


@pytest.mark.parametrize("engine", ["sqlite"])
async def test_a_new_store_on_an_old_memory_makes_its_own(engine: str, tmp_path: Path) -> None:
    """Somebody removed the store and kept the file that remembers it."""
    kit = Kit(engine, str(tmp_path / "store.sqlite3"))
    looked = await (await kit.open()).beat(Seen(FIRST, 77), SECOND, 2)
    assert looked.incarnation == SECOND
    assert looked.beat > 77
    await kit.close()


async def test_a_store_whose_clients_pinned_a_root_key_says_so_before_it_starts(kit: Kit) -> None:
    store = await kit.open()
    await store.beat(NOTHING, FIRST, 1)
    assert not await store.pinned(), "an im process that came first made it"
    assert [await store.pin(1), await store.pin(7), await store.pin(7), await store.pin(9)] == [0, 1, 7, 7]
    await (await again(kit)).beat(NOTHING, SECOND, 2)
    assert await store.pinned()
    await kit.run("DELETE FROM meta WHERE key = 'pinned'")
    assert await store.pinned(), "it was in use before that was noted"
