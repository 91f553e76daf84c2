"""Who makes the root key that clients pin, and who refuses to."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path

import pytest
from msgspec.structs import replace

from control.coordination.sqlite_documents import SqliteDocuments
from control.errors import StartError
from control.im.role import make_store
from control.keys.keystore import KeyStore
from control.process.first_root import KEY, NoRootYet, own_root, patiently
from control.settings import Settings
from control.settings.build import build
from im_service.storage.ops.incarnation import Seen


def settings_of(folder: Path, *roles: str) -> Settings:
    """Of a process that asks nobody on a bus, whatever its roles."""
    made = build({"server": {"data_dir": folder}})
    return replace(made, server=replace(made.server, roles=roles or made.server.roles))


@pytest.fixture
async def documents(tmp_path: Path) -> AsyncIterator[SqliteDocuments]:
    made = SqliteDocuments(tmp_path / "etcd.sqlite3")
    await made.start()
    yield made
    await made.stop(0.0)


async def make_used_store(folder: Path, *, pinned: bool) -> None:
    await asyncio.to_thread(folder.mkdir)
    store = make_store(settings_of(folder))
    await store.start()
    await store.beat(Seen(), bytes(16), 1)
    if pinned:
        await store.pin(2)
    await store.stop()


async def test_no_root_key_is_made_beside_a_store_whose_clients_have_one(tmp_path: Path) -> None:
    await make_used_store(tmp_path / "used", pinned=True)
    with pytest.raises(StartError, match=r"root\.json.*missing.*store\.sqlite3.*keys new-root"):
        await own_root(settings_of(tmp_path / "used"), None)
    await make_used_store(tmp_path / "made by an im process", pinned=False)
    await own_root(settings_of(tmp_path / "made by an im process"), None)
    await own_root(settings_of(tmp_path / "empty"), None)


async def test_no_root_key_is_made_where_etcd_knows_another(
    tmp_path: Path, documents: SqliteDocuments
) -> None:
    first, lost = settings_of(tmp_path / "1", "control"), settings_of(tmp_path / "2", "control")
    await own_root(first, documents)
    root = KeyStore(first).root
    found = await documents.get(KEY)
    assert found is not None
    assert found.value.decode() == root
    with pytest.raises(StartError, match=root[:16]):
        await own_root(lost, documents)
    assert not (tmp_path / "2").exists(), "nothing is left behind"
    KeyStore(lost, create=True)  # as by `keys new-root`
    await own_root(lost, documents)
    found = await documents.get(KEY)
    assert found is not None
    assert found.value.decode() == KeyStore(lost).root


async def test_a_gateway_makes_no_root_key_but_waits_for_one(tmp_path: Path) -> None:
    gateway = settings_of(tmp_path / "gateway", "gateway")
    with pytest.raises(NoRootYet, match="a control process does"):
        await patiently(partial(own_root, gateway, None), 0.0)
    assert not (tmp_path / "gateway").exists()
    waiting = asyncio.create_task(patiently(partial(own_root, gateway, None)))
    control = settings_of(tmp_path / "control", "control")
    await own_root(control, None)
    KeyStore(control, create=True)
    shutil.copytree(tmp_path / "control", tmp_path / "gateway")
    await waiting
