"""API keys of a cluster: all processes take them, beside those of a folder, also while documents are away."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest

from control.coordination.documents import Conflict, Document, DocumentsUnavailable
from control.coordination.sqlite_documents import SqliteDocuments
from control.keys import keyring
from control.keys.api_keys import ROLES, ApiKeys, split_key
from control.keys.errors import ApiKeyError
from control.keys.keyring import PREFIX, Keyring, TooManyKeys
from tests.support.sdk_client import until


class World:
    """Two processes with folders of their own, and one file of documents."""

    def __init__(self, folder: Path) -> None:
        self.now = time.time()
        self.documents = [SqliteDocuments(folder / "documents") for _ in range(2)]
        self.one, self.other = (
            Keyring(documents, ApiKeys(folder / str(number) / "keys.json"), lambda: self.now)
            for number, documents in enumerate(self.documents)
        )

    def usable(self, at: Keyring, text: str) -> bool:
        key = at.proven(text)
        return key is not None and key.usable(self.now)


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    made = World(tmp_path)
    for documents, keys in zip(made.documents, (made.one, made.other), strict=True):
        await documents.start()
        await keys.start()
    yield made
    for documents, keys in zip(made.documents, (made.one, made.other), strict=True):
        await keys.stop(0.0)
        await documents.stop()


async def test_a_key_opens_at_once_where_it_was_made_and_soon_everywhere(world: World) -> None:
    held, text, _ = await world.one.create("shop", ("read",), ("viewer",), 0)
    assert world.usable(world.one, text)
    await until(lambda: world.usable(world.other, text), timeout_s=10)
    found = world.other.proven(text)
    assert found is not None
    assert (found.id, found.scopes, found.roles) == (held.key.id, ("read",), ("viewer",))


async def test_a_revoked_key_is_over_everywhere_and_no_change_brings_it_back(world: World) -> None:
    held, text, _ = await world.one.create("shop", ("read",), (), 0)
    await until(lambda: world.usable(world.other, text), timeout_s=10)
    over = await world.other.revoke(held.key.id)
    assert over is not None
    assert not world.usable(world.other, text)
    await until(lambda: not world.usable(world.one, text), timeout_s=10)
    proven = world.one.proven(text)
    assert proven is not None
    assert proven.over(world.now) == "revoked"
    with pytest.raises(Conflict):
        await world.one.change(held.key, held.revision)
    assert await world.one.revoke(held.key.id) == over, "again: the same"
    assert await world.one.revoke("0" * 12) is None


async def test_a_key_ends_by_itself_and_later_when_that_is_said(world: World) -> None:
    held, text, _ = await world.one.create("shift", (), ("operator",), 60)
    world.now += 61
    proven = world.one.proven(text)
    assert proven is not None
    assert proven.over(world.now) == "expired"
    longer = msgspec.structs.replace(held.key, expires_at=held.key.expires_at + 3600)
    await world.one.change(longer, held.revision)
    assert world.usable(world.one, text)


async def test_known_keys_go_on_while_documents_are_away_and_nothing_changes(world: World) -> None:
    held, text, _ = await world.one.create("shop", ("read",), (), 0)
    await world.documents[0].stop()
    assert world.usable(world.one, text)
    for change in (
        world.one.create("more", ("read",), (), 0), world.one.revoke(held.key.id),
        world.one.change(held.key, None),
    ):  # fmt: skip
        with pytest.raises(DocumentsUnavailable):
            await change
    assert world.usable(world.one, text)


async def test_keys_of_a_folder_stand_beside_those_of_the_cluster(world: World) -> None:
    made, beside = world.one.folder.create("beside", ("read",))
    _, text, _ = await world.one.create("shop", (), ROLES, 0)
    await world.one.tick()
    assert world.usable(world.one, beside)
    assert world.usable(world.one, text)
    assert world.other.proven(beside) is None
    world.one.folder.revoke(made.id)
    assert not world.usable(world.one, beside)


async def test_the_first_key_of_a_folder_opens_everywhere_and_is_over_where_either_says_so(
    world: World,
) -> None:
    first, second = (keys.folder.create_first("first") for keys in (world.one, world.other))
    for keys in (world.one, world.other):
        await keys.share_first()
    await until(lambda: world.usable(world.other, first) and world.usable(world.one, second), timeout_s=10)
    await world.other.revoke(split_key(first)[0])
    await until(lambda: not world.usable(world.one, first), timeout_s=10)
    await world.one.tick()
    (kept,) = world.one.folder.list()
    assert kept.revoked_at, "a start that does not reach the documents knows it as well"
    world.other.folder.revoke(split_key(second)[0])
    assert not world.usable(world.other, second)
    await world.other.tick()
    await until(lambda: not world.usable(world.one, second), timeout_s=10)
    for keys in (world.one, world.other):
        await keys.tick()
    assert not world.usable(world.one, first)
    assert not world.usable(world.other, second)


async def test_a_first_key_is_shared_once_documents_are_there_and_also_by_the_next_start(
    world: World,
) -> None:
    await world.documents[0].stop()
    first = world.one.folder.create_first("first")
    await world.one.tick()
    assert world.usable(world.one, first)
    assert world.other.proven(first) is None
    again = Keyring(world.documents[1], ApiKeys(world.one.folder.path), lambda: world.now)
    await again.start()
    await again.tick()
    await until(lambda: world.usable(world.other, first), timeout_s=10)
    held = await world.other.look(split_key(first)[0])
    assert held is not None
    await world.other.change(msgspec.structs.replace(held.key, roles=("viewer",)), held.revision)
    await until(lambda: (key := again.proven(first)) is not None and key.roles == ("viewer",), timeout_s=10)
    await again.tick()
    assert [key.roles for key in again.folder.list()] == [("viewer",)]
    await again.stop(0.0)


async def test_a_key_is_shown_from_memory_and_at_once_while_documents_are_away(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    held, _, _ = await world.one.create("shop", ("read",), (), 0)

    async def never(key: str) -> Document | None:
        raise AssertionError(f"{key} is asked of an engine that is known to be away")

    monkeypatch.setattr(world.documents[0], "problem", lambda: "away")
    monkeypatch.setattr(world.documents[0], "get", never)
    assert await world.one.look(held.key.id) == held


async def test_a_wrong_secret_proves_nothing_and_only_hashes_are_kept(world: World) -> None:
    held, text, _ = await world.one.create("shop", ("read",), (), 0)
    assert world.one.proven(text[:-43] + "A" * 43) is None
    assert world.one.proven("nonsense") is None
    document = await world.documents[0].get(PREFIX + held.key.id)
    assert document is not None
    assert split_key(text)[1].encode() not in document.value


async def test_a_document_that_is_no_key_changes_nothing_and_a_revocation_replaces_it(world: World) -> None:
    held, text, _ = await world.one.create("shop", ("read",), (), 0)
    await world.documents[0].put(PREFIX + held.key.id, b"{}")
    await world.documents[0].put(PREFIX + "0" * 12, msgspec.json.encode(held.key))
    later, _, _ = await world.one.create("later", ("read",), (), 0)
    await until(lambda: later.key.id in {key.id for key in world.other.of_cluster()}, timeout_s=10)
    assert world.usable(world.one, text)
    assert world.other.proven(f"qwk_{'0' * 12}_{split_key(text)[1]}") is None
    await world.one.revoke(held.key.id)
    assert not world.usable(world.one, text)
    with pytest.raises(ApiKeyError):
        await world.one.revoke("0" * 12)


async def test_the_number_of_keys_is_bounded_and_the_first_that_was_over_makes_room(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keyring, "MOST", 3)
    made = [await world.one.create(f"key {number}", ("read",), (), 0) for number in range(3)]
    with pytest.raises(TooManyKeys):
        await world.one.create("one more", ("read",), (), 0)
    for held, _, _ in reversed(made[:2]):
        await world.one.revoke(held.key.id)
        world.now += 10
    _, text, gone = await world.one.create("one more", ("read",), (), 0)
    assert gone == made[1][0].key.id
    assert world.one.proven(made[1][1]) is None
    assert world.usable(world.one, text)


async def test_what_a_snapshot_or_an_emptied_engine_lost_is_put_back_by_who_knew_it(world: World) -> None:
    """A revoked key stays so, one that was changed may what it may now, another one goes on; one that is over
    may go."""
    kept, kept_text, _ = await world.one.create("shop", ("read",), (), 0)
    thief, thief_text, _ = await world.one.create("thief", ("read",), (), 0)
    spent, spent_text, _ = await world.one.create("spent", ("read",), (), 60)
    clerk, clerk_text, _ = await world.one.create("clerk", ("tokens",), ("security-admin",), 0)
    for text in (kept_text, thief_text, spent_text, clerk_text):
        await until(lambda text=text: world.usable(world.other, text), timeout_s=10)
    copies = [await world.documents[0].get(PREFIX + held.key.id) for held in (thief, clerk)]
    snapshot = [copy for copy in copies if copy is not None]
    less = msgspec.structs.replace(clerk.key, scopes=(), roles=("viewer",))
    await world.one.change(less, clerk.revision)
    await until(lambda: (found := world.other.proven(clerk_text)) and found.roles == ("viewer",))
    await world.one.revoke(thief.key.id)
    await until(lambda: not world.usable(world.other, thief_text), timeout_s=10)
    world.now += 61
    for copy in snapshot:
        await world.documents[0].put(copy.key, copy.value, None)
    read = await world.one.read(clerk.key.id)
    assert read is not None
    assert read.key.roles == ("viewer",), "also for who reads the copy before it is put right"
    for key in (kept.key, spent.key):
        await world.documents[0].delete(PREFIX + key.id, None)
    await until(lambda: world.other.proven(spent_text) is None, timeout_s=10)
    await until(lambda: world.one.proven(spent_text) is None, timeout_s=10)

    def right(keys: Keyring) -> bool:
        demoted = keys.proven(clerk_text)
        assert demoted is not None
        assert (demoted.scopes, demoted.roles) == ((), ("viewer",))
        return world.usable(keys, kept_text) and not world.usable(keys, thief_text)

    assert right(world.one)
    assert right(world.other)
    for keys in (world.one, world.other, world.one):
        await keys.tick()
    fresh = Keyring(world.documents[0], ApiKeys(Path("nowhere")), lambda: world.now)
    await fresh.start()
    assert right(fresh), "who starts now knows it from the documents"
    assert fresh.proven(spent_text) is None
    await fresh.stop(0.0)
