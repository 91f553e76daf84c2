"""Where the root key comes from that clients pin: a control process makes it, once for each installation.

Whoever starts in a folder without one looks first at what tells that there was one: the store, etcd, and
those who live. A gateway makes none: it waits for a control process to. An im process has no keys.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from control.bus.engines import make_bus
from control.coordination.documents import Conflict, Documents
from control.coordination.same_root import Told, ask_root, refuse_other_root
from control.errors import StartError
from control.im.role import make_store
from control.keys.data_folder import KEY_FOLDER, STORE_FILE
from control.keys.keystore import KeyStore, would_make_keys
from control.keys.server_keys import lost_root
from control.logs import get_logger
from control.settings import Settings

log = get_logger("keys")

KEY = "keys/root"
"""Document: the root key as clients pin it, of a cluster that has etcd and shares no keys there."""
PATIENCE_S, LOOK_S = 15.0, 0.5
T = TypeVar("T")


class NoRootYet(StartError):
    """There is none, and this process makes none."""


async def patiently(work: Callable[[], Awaitable[T]], patience_s: float = PATIENCE_S) -> T:
    """Again and again, while the root is awaited. Raises NoRootYet when it does not come."""
    loop = asyncio.get_running_loop()
    until = loop.time() + patience_s
    waits = False
    while True:
        try:
            return await work()
        except NoRootYet as error:
            if loop.time() >= until:
                raise
            if not waits:
                waits = True
                log.info("waiting for the root key", reason=str(error), seconds=patience_s)
        await asyncio.sleep(LOOK_S)


async def own_root(settings: Settings, documents: Documents | None) -> None:
    """For a process whose cluster shares no keys in etcd: its folder has the root, or a start may make it.
    `documents` are those of etcd. Raises StartError, BusError, KeyFileError, StoreError,
    DocumentsUnavailable.
    """
    if would_make_keys(settings):
        told = await told_root(settings) if settings.bus.kind != "memory" else None
        if would_make_keys(settings):
            refuse_other_root(told, "")
        try:
            await refuse_new_root(settings, documents)
        except StartError:
            if would_make_keys(settings):
                raise  # else another process of this folder made it just now
    if documents is not None and "control" in settings.server.roles:
        await _note_root(KeyStore(settings, create=True).root, documents)


async def told_root(settings: Settings) -> Told | None:
    """What some process of the cluster tells. Raises BusError."""
    bus = make_bus(settings)
    await bus.start()
    try:
        return await ask_root(bus)
    finally:
        await bus.close()


async def refuse_new_root(settings: Settings, documents: Documents | None = None) -> None:
    """For a start in a folder without a root key. Raises StartError where the installation had one, and for a
    process that makes none; StoreError, DocumentsUnavailable.
    """
    folder = settings.server.data_dir / KEY_FOLDER
    if "control" not in settings.server.roles:
        raise NoRootYet(
            f"there is no root key in {folder}, and a gateway makes none: a control process does, in the same"
            " folder, or where auth.keys_secret shares it over etcd; else copy the cluster's `keys` here"
        )
    if documents is not None and (document := await documents.get(KEY)) is not None:
        root = document.value.decode("ascii", "replace")
        raise StartError(lost_root(folder, f"etcd ({KEY}) knows that of this cluster, {root[:16]}…"))
    if await make_store(settings).pinned():
        store, data = settings.store, settings.server.data_dir
        where = store.url if store.kind == "postgres" else data / STORE_FILE
        raise StartError(lost_root(folder, f"the store ({where}) is of clients that have one"))


async def _note_root(root: str, documents: Documents) -> None:
    found = await documents.get(KEY)
    if found is not None and found.value == root.encode():
        return
    try:
        await documents.put(KEY, root.encode(), found.revision if found else 0)
    except Conflict:
        return  # another one that starts
    if found is not None:
        log.warning("this cluster has another root key than before", root=root)
