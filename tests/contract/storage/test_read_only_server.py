"""A PostgreSQL that becomes read-only: refused as unavailable, left, and used again when it takes writes."""

import asyncpg
import pytest

from im_service.storage.errors import StoreUnavailable
from im_service.storage.postgres import PostgresStore
from im_service.storage.records import AppendStatus
from im_service.storage.store import Store
from tests.support.postgres_server import PostgresServer
from tests.support.store_kit import Kit, everything, send


async def read_only(server: PostgresServer, on: bool) -> None:
    """Every session of the cluster, at once. Returns when new sessions see it."""
    admin = await asyncpg.connect(server.dsn())
    await admin.execute(f"ALTER SYSTEM SET default_transaction_read_only = {'on' if on else 'off'}")
    await admin.execute("SELECT pg_reload_conf()")
    said = ""
    while said != ("on" if on else "off"):
        said = await admin.fetchval("SHOW default_transaction_read_only")
    await admin.close()


async def refused(store: Store, name: str) -> bool:
    try:
        await send(store, "s/a:b", "a", name)
    except StoreUnavailable:
        return True
    return False


async def test_it_is_left_and_found_again(postgres_kit: Kit, postgres_server: PostgresServer) -> None:
    store = await postgres_kit.open()
    await send(store, "s/a:b", "a", "before")
    await read_only(postgres_server, True)
    try:
        number = 0
        while not await refused(store, f"early {number}"):  # the server's processes hear of it one by one
            number += 1
        with pytest.raises(StoreUnavailable, match="PostgreSQL"):
            await send(store, "s/a:b", "a", "refused")
        with pytest.raises(StoreUnavailable):
            await store.set_profile("a", lambda _: b"", 1)
        assert store.trouble()
        with pytest.raises(StoreUnavailable, match="takes no writes: it is a standby, or read-only"):
            await PostgresStore(postgres_kit.where).start()
    finally:
        await read_only(postgres_server, False)
    assert (await send(store, "s/a:b", "a", "after")).status == AppendStatus.NEW
    assert store.trouble() is None
    shown = [m.client_id for m in await everything(store, "a", "s/a:b")]
    assert (shown[0], shown[-1]) == ("before", "after")
    assert "refused" not in shown
