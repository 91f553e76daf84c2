"""Short words for storage tests: open stores on one database, make messages, wait for commits."""

import asyncio
from collections.abc import Sequence
from contextlib import closing
from typing import Any

import apsw
import asyncpg

from im_service.storage.ops.tx import rows
from im_service.storage.postgres import PostgresStore
from im_service.storage.records import (
    DEFAULT_BITS,
    HISTORY,
    Aim,
    AppendResult,
    Login,
    NewLogin,
    NewMessage,
    StoredMessage,
    View,
)
from im_service.storage.sqlite import SqliteStore
from im_service.storage.store import Store

EVERYTHING = View(((HISTORY, 0),), now_ms=1)


def open_store(engine: str, where: str) -> SqliteStore | PostgresStore:
    if engine == "sqlite":
        return SqliteStore(where, cache_bytes=16 << 20)
    return PostgresStore(where, connections=4)


class Kit:
    """One database; `open()` as often as processes are wanted on it."""

    def __init__(self, engine: str, where: str) -> None:
        self.engine = engine
        self.where = where
        self._stores: list[SqliteStore | PostgresStore] = []

    async def open(self) -> Store:
        store = open_store(self.engine, self.where)
        await store.start()
        self._stores.append(store)
        return store

    async def close(self) -> None:
        while self._stores:
            await self._stores.pop().stop()

    async def query(self, text: str) -> list[tuple[Any, ...]]:
        """What the tables hold, past the store."""
        if self.engine == "sqlite":
            with closing(apsw.Connection(self.where)) as conn:
                return [tuple(row) for row in conn.execute(text).fetchall()]
        admin = await asyncpg.connect(self.where)
        try:
            return [tuple(row) for row in await admin.fetch(text)]
        finally:
            await admin.close()

    async def run(self, text: str) -> None:
        """Change the tables behind the store's back."""
        if self.engine == "sqlite":
            with closing(apsw.Connection(self.where)) as conn:
                conn.execute(text).fetchall()
            return
        admin = await asyncpg.connect(self.where)
        try:
            await admin.execute(text)
        finally:
            await admin.close()


def message(
    conversation: str,
    sender: str,
    client_id: str,
    *,
    body: bytes = b"hello",
    bits: int = DEFAULT_BITS,
    time_ms: int = 1000,
    expires_ms: int = 0,
    target: Aim | None = None,
    digest: bytes | None = None,
) -> NewMessage:
    made = digest if digest is not None else body[:32]
    return NewMessage(
        conversation, sender, client_id, made, hash((sender, client_id)) & (1 << 62) - 1, time_ms, 0, body,
        bits, expires_ms, target,
    )  # fmt: skip


async def append(store: Store, batch: Sequence[NewMessage]) -> list[AppendResult]:
    """Commit a batch; an error comes as an exception."""
    future: asyncio.Future[list[AppendResult]] = asyncio.get_running_loop().create_future()

    def done(result: list[AppendResult] | BaseException) -> None:
        if isinstance(result, BaseException):
            future.set_exception(result)
        else:
            future.set_result(result)

    store.append(batch, done)
    return await future


async def send(store: Store, conversation: str, sender: str, client_id: str, **options: Any) -> AppendResult:
    return (await append(store, [message(conversation, sender, client_id, **options)]))[0]


async def login(
    store: Store, user: str, device: str, platform: int, session_id: int, info: bytes, now_ms: int
) -> Login:
    return (await store.logins([NewLogin(user, device, platform, session_id, info)], now_ms))[0]


async def last_seq(store: Store, conversation: str) -> int:
    """0 when there is no such conversation."""
    newest = await store.pull(None, conversation, 1, None, 1, EVERYTHING, reverse=True)
    return newest.items[0].seq if newest.items else 0


async def count(store: Store, table: str = "message") -> int:
    """Rows there are now."""
    return int((await store._read(rows(f"SELECT count(*) FROM {table}")))[0][0])


async def everything(store: Store, user: str | None, conversation: str) -> list[StoredMessage]:
    """The whole conversation as this reader pulls it, page by page."""
    found: list[StoredMessage] = []
    while True:
        at = found[-1].seq + 1 if found else 1
        page = await store.pull(user, conversation, at, None, 50, EVERYTHING)
        found += page.items
        if not page.more:
            return found
