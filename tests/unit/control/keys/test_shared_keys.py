"""One set of keys on several machines: who begins, who rotates, who may not, and when a new key is used."""

from __future__ import annotations

import asyncio
import errno
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec
import pytest
from nacl.bindings import crypto_aead_xchacha20poly1305_ietf_encrypt

from control.audit.read import page
from control.audit.verify import verify
from control.coordination.documents import Document, DocumentsUnavailable
from control.coordination.sqlite_documents import SqliteDocuments
from control.errors import StartError
from control.keys import shared as shared_module
from control.keys.keystore import SETTLE_S, KeyStore
from control.keys.last_shared import hashes, merged
from control.keys.server_keys import ROOT_FILE, ServerKeys
from control.keys.shared import (
    KEY,
    NotTheSecret,
    Shared,
    SharedKeys,
    _key_of,
    _made_elsewhere,
    join_keys,
    read_folder,
    seal,
    unseal,
)
from control.settings import Settings
from control.settings.build import build
from tests.support.sdk_client import until

SECRET, OTHER = "s" * 32, "o" * 32
FILES = Shared(3, {"root.json": b"{}"})


class Clocks:
    def __init__(self) -> None:
        self.wall, self.steady = time.time(), 1000.0

    def pass_s(self, seconds: float) -> None:
        self.wall += seconds
        self.steady += seconds


class Machine:
    """A data folder of its own, joined to the cluster's keys."""

    def __init__(self, settings: Settings, keystore: KeyStore, shared: SharedKeys) -> None:
        self.folder = settings.server.data_dir / "keys"
        self.keystore = keystore
        self.shared = shared

    @property
    def files(self) -> dict[str, bytes]:
        return read_folder(self.folder)


def settings_of(folder: Path, secret: str = SECRET, before: str = "", roles: str = "control") -> Settings:
    return build(
        {
            "server": {"data_dir": folder, "roles": [roles]},
            "bus": {"kind": "nats"},
            "etcd": {"endpoints": ["127.0.0.1:2379"]},
            "auth": {"keys_secret": secret, "keys_secret_before": before},
        }
    )


@pytest.fixture
async def documents(tmp_path: Path) -> AsyncIterator[SqliteDocuments]:
    made = SqliteDocuments(tmp_path / "c.sqlite3")
    await made.start()
    yield made
    await made.stop()


async def nobody(root: str) -> None:
    """Nobody lives in the cluster."""


async def repeated(attempt: Callable[[], Awaitable[bool]]) -> None:
    for _ in range(1000):
        if await attempt():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("never")


async def joined(
    documents: SqliteDocuments, folder: Path, clocks: Clocks | None = None, **more: str
) -> Machine:
    settings, clocks = settings_of(folder, **more), clocks or Clocks()
    joined_at = await join_keys(settings, documents, nobody)
    keystore = KeyStore(settings, lambda: clocks.wall, lambda: clocks.steady, create=True)
    shared = SharedKeys(settings, documents, keystore, joined_at)
    await shared.start()
    return Machine(settings, keystore, shared)


async def test_the_first_gives_its_keys_and_the_next_begins_with_them(
    documents: SqliteDocuments, tmp_path: Path
) -> None:
    one, two = await joined(documents, tmp_path / "1"), await joined(documents, tmp_path / "2")
    assert one.files == two.files
    assert one.keystore.root == two.keystore.root
    stored = await documents.get(KEY)
    assert stored is not None
    assert b"seed" not in stored.value
    assert b"x25519" not in stored.value
    trail = tmp_path / "1" / "audit" / "operators"
    (line,) = page(trail, 0, 9)[0]
    assert (line.what, line.via, line.after) == ("keys.share", "start", stored.revision)
    assert verify(trail).problem == ""
    assert page(tmp_path / "2" / "audit" / "operators", 0, 9)[0] == [], "which only took them"
    for machine in (one, two):
        await machine.shared.stop(0)


async def test_a_rotation_here_is_a_rotation_everywhere(documents: SqliteDocuments, tmp_path: Path) -> None:
    one, two = await joined(documents, tmp_path / "1"), await joined(documents, tmp_path / "2")
    told: list[tuple[str, int]] = []
    one.shared.on_change = two.shared.on_change = lambda what, revision: told.append((what, revision))
    one.keystore.keys.rotate_tokens(int(time.time()), 3600)
    await one.shared.tick()
    await until(lambda: two.files == one.files)
    assert len(two.files) == 5
    stored = await documents.get(KEY)
    assert stored is not None
    await until(lambda: sorted(told) == [("share", stored.revision), ("take", stored.revision)])
    two.keystore.keys.rotate(int(time.time()), 0)
    await two.shared.tick()
    await until(lambda: two.files == one.files)
    assert len(one.files) == 5, "the old server key is over, there as well"
    for machine in (one, two):
        await machine.shared.stop(0)


async def test_of_two_that_rotate_at_once_one_is_kept(documents: SqliteDocuments, tmp_path: Path) -> None:
    machines = [await joined(documents, tmp_path / str(n)) for n in range(3)]
    for machine in machines:
        machine.keystore.keys.rotate_tokens(int(time.time()), 3600)
    for machine in machines:
        await machine.shared.tick()
    await until(lambda: machines[0].files == machines[1].files == machines[2].files)
    assert len(machines[0].files) == 5
    machines[0].keystore.keys.rotate_tokens(int(time.time()), 3600)
    machines[1].keystore.keys.rotate_tokens(int(time.time()), 0)
    for machine in [*machines, *machines]:
        await machine.shared.tick()
    await until(lambda: len(machines[2].files) == 4)
    await until(lambda: machines[0].files == machines[1].files == machines[2].files)
    for machine in machines:
        await machine.shared.stop(0)


async def test_what_was_changed_while_nobody_of_the_folder_lived_is_shared_by_the_next_start(
    documents: SqliteDocuments, tmp_path: Path
) -> None:
    """Rotations after a leak, of server and ticket keys here and of the token key elsewhere meanwhile."""
    one, two = await joined(documents, tmp_path / "1"), await joined(documents, tmp_path / "2")
    await one.shared.stop(0)
    leaked = set(one.files)
    for _ in range(2):
        ServerKeys.load(one.folder).rotate(int(time.time()), 0)
    ServerKeys.load(one.folder).rotate_tickets(int(time.time()), 0)
    two.keystore.keys.rotate_tokens(int(time.time()), 0)
    await two.shared.tick()
    again = await joined(documents, tmp_path / "1")
    await until(lambda: again.files == two.files)
    assert set(two.files) & leaked == {ROOT_FILE}
    assert "server-00003.json" in two.files
    third = await joined(documents, tmp_path / "3")
    assert third.files == two.files
    for machine in (again, two, third):
        await machine.shared.stop(0)


async def test_a_folder_that_was_away_changes_nothing_by_what_it_did_not_hear_of(
    documents: SqliteDocuments, tmp_path: Path
) -> None:
    """Neither after a change elsewhere nor where the documents went back to before it, or were emptied."""
    one, two = await joined(documents, tmp_path / "1"), await joined(documents, tmp_path / "2")
    old = await documents.get(KEY)
    assert old is not None
    await one.shared.stop(0)
    two.keystore.keys.rotate(int(time.time()), 0)
    await two.shared.tick()
    await two.shared.stop(0)
    newest = two.files
    again = await joined(documents, tmp_path / "1")
    assert again.files == newest
    await again.shared.stop(0)
    for harm in (lambda: documents.put(KEY, old.value, None), lambda: documents.delete(KEY, None)):
        await harm()
        for number in ("2", "1"):
            machine = await joined(documents, tmp_path / number)
            assert machine.files == newest
            await machine.shared.stop(0)


def test_processes_of_one_folder_that_start_together_take_no_keys_from_each_other(tmp_path: Path) -> None:
    settings = settings_of(tmp_path / "1")
    with ThreadPoolExecutor(4) as threads:
        made = [threads.submit(_made_elsewhere, settings) for _ in range(8)]
        assert all(ROOT_FILE in each.result(60) for each in made)


@pytest.mark.parametrize("sides", [("here", "there"), ("there", "here")])
def test_a_key_that_one_side_took_away_is_gone_and_the_earlier_end_holds(sides: tuple[str, str]) -> None:
    def ends(at: int) -> bytes:
        return json.dumps({"not_after": at}).encode()

    names = ("root.json", "server-1", "server-2", "server-3", "server-4")
    last = dict.fromkeys(names, ends(100))
    one = last | {"server-2": ends(50), "server-3": ends(70), "token-1": ends(9), "ticket-1": ends(9)}
    other = last | {"server-3": ends(60), "token-2": ends(9), "server-5": ends(9)}
    del one["server-1"], one["server-4"], other["server-4"]
    found = dict(zip(sides, (one, other), strict=True))
    token = "token-1" if sides[0] == "there" else "token-2"
    assert merged(hashes(last), found["here"], found["there"]) == {
        "root.json": ends(100), "server-2": ends(50), "server-3": ends(60), "server-5": ends(9),
        token: ends(9), "ticket-1": ends(9),
    }  # fmt: skip


async def test_a_new_token_key_signs_when_it_was_shared_and_heard_of(
    documents: SqliteDocuments, tmp_path: Path
) -> None:
    clocks = Clocks()
    one = await joined(documents, tmp_path / "1", clocks)
    old = one.keystore.signer()
    one.keystore.keys.rotate_tokens(int(clocks.wall), 3600)
    for _ in range(4):  # the engine is away: nobody else can have it
        clocks.pass_s(SETTLE_S)
        one.keystore.look_after()
        assert one.keystore.signer() is old
    await one.shared.tick()
    one.keystore.look_after()
    clocks.pass_s(SETTLE_S - 1)
    assert one.keystore.signer() is old
    clocks.pass_s(2)
    assert one.keystore.signer() is not old
    await one.shared.stop(0)


async def test_another_secret_or_root_is_refused(documents: SqliteDocuments, tmp_path: Path) -> None:
    one = await joined(documents, tmp_path / "1")
    with pytest.raises(StartError, match="keys_secret"):
        await join_keys(settings_of(tmp_path / "2", OTHER), documents, nobody)
    assert not (tmp_path / "2" / "keys" / "root.json").exists()
    KeyStore(settings_of(tmp_path / "3"), create=True)
    before = read_folder(tmp_path / "3" / "keys")
    with pytest.raises(StartError, match="not that of this cluster"):
        await join_keys(settings_of(tmp_path / "3"), documents, nobody)
    assert read_folder(tmp_path / "3" / "keys") == before
    await one.shared.stop(0)


async def test_the_secret_can_be_changed(documents: SqliteDocuments, tmp_path: Path) -> None:
    one = await joined(documents, tmp_path / "1")
    await one.shared.stop(0)
    changed = await joined(documents, tmp_path / "1", secret=OTHER, before=SECRET)
    changed.keystore.keys.rotate(int(time.time()), 3600)
    await changed.shared.tick()
    third = await joined(documents, tmp_path / "3", secret=OTHER)
    assert third.files == changed.files
    for machine in (changed, third):
        await machine.shared.stop(0)


async def test_keys_that_are_gone_from_the_documents_or_old_there_are_put_back_by_those_who_live(
    documents: SqliteDocuments, tmp_path: Path
) -> None:
    """Deleted, wiped, or restored from a snapshot: no folder loses a key."""
    one, two = await joined(documents, tmp_path / "1"), await joined(documents, tmp_path / "2")
    old = await documents.get(KEY)
    assert old is not None
    one.keystore.keys.rotate(int(time.time()), 3600)
    await one.shared.tick()
    await until(lambda: two.files == one.files)
    files = one.files

    async def put_back() -> bool:
        await one.shared.tick()
        await two.shared.tick()
        document = await documents.get(KEY)
        return document is not None and unseal([SECRET], document.value).files == files

    for harm in (lambda: documents.delete(KEY, None), lambda: documents.put(KEY, old.value, None)):
        await harm()
        assert await documents.get(KEY) != old
        await repeated(put_back)
        assert one.files == two.files == files
    two.keystore.keys.rotate_tokens(int(time.time()), 3600)
    await two.shared.tick()
    await until(lambda: one.files == two.files != files)
    assert one.shared.sources()["shared_keys"]() == {"unshared": 0}
    for machine in (one, two):
        await machine.shared.stop(0)


async def test_keys_that_a_full_disk_kept_out_come_when_there_is_room(
    documents: SqliteDocuments, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two = await joined(documents, tmp_path / "1"), await joined(documents, tmp_path / "2")

    def full(path: Path, content: bytes, replace: bool) -> None:
        raise OSError(errno.ENOSPC, "no space left")

    one.keystore.keys.rotate_tokens(int(time.time()), 3600)
    with monkeypatch.context() as patched:
        patched.setattr(shared_module, "write_bytes", full)
        await one.shared.tick()
        await until(lambda: two.shared.sources()["shared_keys"]() == {"unshared": 1})
        await two.shared.tick()
    assert one.files != two.files
    await two.shared.tick()
    assert one.files == two.files
    assert two.shared.sources()["shared_keys"]() == {"unshared": 0}
    for machine in (one, two):
        await machine.shared.stop(0)


async def test_a_document_of_the_version_before_is_taken(documents: SqliteDocuments, tmp_path: Path) -> None:
    KeyStore(settings_of(tmp_path / "1"), create=True)
    files = read_folder(tmp_path / "1" / "keys")
    nonce = bytes(24)
    box = crypto_aead_xchacha20poly1305_ietf_encrypt(
        msgspec.msgpack.encode(files), KEY.encode(), nonce, _key_of(SECRET)
    )
    await documents.put(KEY, b"\x01" + nonce + box, 0)
    two = await joined(documents, tmp_path / "2")
    assert two.files == files
    two.keystore.keys.rotate_tokens(int(time.time()), 3600)
    await two.shared.tick()
    document = await documents.get(KEY)
    assert document is not None
    assert unseal([SECRET], document.value) == Shared(1, two.files)
    await two.shared.stop(0)


async def test_a_start_in_an_empty_folder_gives_a_living_cluster_no_other_root(
    documents: SqliteDocuments, tmp_path: Path
) -> None:
    asked: list[str] = []

    async def somebody(root: str) -> None:
        asked.append(root)
        raise StartError("somebody lives with another one")

    with pytest.raises(StartError, match="somebody lives"):
        await join_keys(settings_of(tmp_path / "1"), documents, somebody)
    KeyStore(settings_of(tmp_path / "2"), create=True)
    with pytest.raises(StartError, match="somebody lives"):
        await join_keys(settings_of(tmp_path / "2"), documents, somebody)
    assert asked == ["", KeyStore(settings_of(tmp_path / "2")).root]
    assert await documents.get(KEY) is None
    assert not (tmp_path / "1" / "keys" / "root.json").exists()


async def test_of_processes_that_start_together_all_have_the_keys_of_one(
    documents: SqliteDocuments, tmp_path: Path
) -> None:
    together = asyncio.Barrier(4)

    async def asked(root: str) -> None:
        await together.wait()

    folders = [settings_of(tmp_path / str(number)) for number in range(4)]
    joined_at = await asyncio.gather(*(join_keys(each, documents, asked) for each in folders))
    assert len(set(joined_at)) == 1
    found = [read_folder(each.server.data_dir / "keys") for each in folders]
    assert all(each == found[0] for each in found)
    again = await asyncio.gather(*(join_keys(each, documents, nobody) for each in folders))
    assert set(again) == set(joined_at)
    assert [path.name for path in (tmp_path / "0").iterdir()] == ["keys"]


async def test_a_start_that_ends_before_its_keys_are_shared_has_made_none(
    documents: SqliteDocuments, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away(*_: object) -> Document:
        raise DocumentsUnavailable("away")

    with monkeypatch.context() as patched:
        patched.setattr(documents, "put", away)
        with pytest.raises(DocumentsUnavailable):
            await join_keys(settings_of(tmp_path / "1"), documents, nobody)
    await join_keys(settings_of(tmp_path / "2"), documents, nobody)
    await join_keys(settings_of(tmp_path / "1"), documents, nobody)
    assert read_folder(tmp_path / "1" / "keys") == read_folder(tmp_path / "2" / "keys")


async def test_an_answer_that_comes_behind_the_end_of_its_document_ends_no_sharing(
    documents: SqliteDocuments, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = await joined(documents, tmp_path / "1")
    one.keystore.keys.rotate_tokens(int(time.time()), 3600)
    put = documents.put

    async def slow(key: str, value: bytes, expected: int | None = None) -> Document:
        answer = await put(key, value, expected)
        await documents.delete(KEY, None)
        await until(lambda: one.shared._lost)
        return answer

    with monkeypatch.context() as patched:
        patched.setattr(documents, "put", slow)
        await one.shared.tick()

    async def put_back() -> bool:
        await one.shared.tick()
        document = await documents.get(KEY)
        return document is not None and unseal([SECRET], document.value).files == one.files

    await repeated(put_back)
    await one.shared.stop(0)


async def test_a_foreign_root_in_the_documents_is_told_and_touches_no_folder(
    documents: SqliteDocuments, tmp_path: Path
) -> None:
    one = await joined(documents, tmp_path / "1")
    KeyStore(settings_of(tmp_path / "2"), create=True)
    files = one.files
    await documents.put(KEY, seal(SECRET, Shared(9, read_folder(tmp_path / "2" / "keys"))), None)
    await until(lambda: one.shared.sources()["shared_keys"]() == {"unshared": 1})
    await one.shared.tick()
    assert one.files == files
    await documents.delete(KEY, None)

    async def put_back() -> bool:
        await one.shared.tick()
        document = await documents.get(KEY)
        return document is not None and unseal([SECRET], document.value).files == files

    await repeated(put_back)
    assert one.shared.sources()["shared_keys"]() == {"unshared": 0}
    await one.shared.stop(0)


@pytest.mark.parametrize("harm", ["cut", "flipped", "of another version", "empty"])
def test_what_was_changed_is_not_opened(harm: str) -> None:
    sealed = seal(SECRET, FILES)
    assert unseal([OTHER, SECRET], sealed) == FILES
    harmed = {
        "cut": sealed[:-1],
        "flipped": sealed[:40] + bytes([sealed[40] ^ 1]) + sealed[41:],
        "of another version": b"\x03" + sealed[1:],
        "empty": b"",
    }[harm]
    with pytest.raises(NotTheSecret):
        unseal([SECRET], harmed)


def test_names_that_lead_elsewhere_are_not_opened() -> None:
    with pytest.raises(NotTheSecret):
        unseal([SECRET], seal(SECRET, Shared(1, {"root.json": b"{}", "../../x.json": b""})))


def test_a_rotation_is_used_when_all_have_heard_of_it_and_at_once_after_a_leak(tmp_path: Path) -> None:
    """In one folder, without anything shared."""
    clocks = Clocks()
    settings = build({"server": {"data_dir": tmp_path}})
    keystore = KeyStore(settings, lambda: clocks.wall, lambda: clocks.steady, create=True)
    old, old_set = keystore.signer(), keystore.key_set()
    keystore.keys.rotate_tokens(int(clocks.wall), 3600)
    keystore.keys.rotate(int(clocks.wall), 3600)
    clocks.pass_s(1)
    assert keystore.look_after()
    assert len(keystore.gateway_keys()) == 2, "taken from the first moment"
    assert keystore.signer() is old
    assert len(keystore.key_set()) == len(old_set), "not told yet"
    clocks.pass_s(SETTLE_S)
    assert keystore.look_after()
    assert keystore.signer() is not old
    assert len(keystore.key_set()) > len(old_set)
    keystore.keys.rotate_tokens(int(clocks.wall), 0)
    clocks.pass_s(1)
    keystore.look_after()
    fresh = keystore.keys.current_token(int(clocks.wall)).kid
    assert keystore.signer()._header["kid"] == fresh[:8]
