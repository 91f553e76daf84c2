"""A whole IM service over a real store, with people on devices, and a clock that tests move."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import asyncpg
import msgspec

from im_service.context import Ports
from im_service.errors import ImError
from im_service.outbox.ports import Event
from im_service.ports import Session
from im_service.service import ImService
from im_service.settings import ImSettings
from im_service.storage.postgres import PostgresStore
from im_service.storage.sqlite import SqliteStore
from tests.support.im_downlink import Connection, RecordingDownlink
from tests.support.postgres_server import PostgresServer

_schemas = itertools.count(1)
START_MS = 1_800_000_000_000


class TestClock:
    """A clock that stands still until told. Setting `ms` is what an operator does to a machine's clock."""

    __test__ = False

    def __init__(self) -> None:
        self.ms = START_MS
        self.elapsed = 0

    def now_ms(self) -> int:
        return self.ms

    def elapsed_ms(self) -> int:
        return self.elapsed

    def advance(self, ms: int) -> None:
        """Time goes by."""
        self.ms += ms
        self.elapsed += ms


class Person:
    """One logged-in device of one user."""

    def __init__(self, world: World, connection: Connection, platform: int) -> None:
        self.world = world
        self.connection = connection
        self.session = connection.session
        self.platform = platform
        self.user = connection.session.user

    async def send(
        self, target: str, body: Any = None, *, type: int = 0, options: dict[str, Any] | None = None,
        ext: str | None = None, client_id: str | None = None,
    ) -> tuple[int, Any]:  # fmt: skip
        """-> (code, payload): [server_id, seq, time_ms] when the code is 0."""
        if body is None or isinstance(body, str):
            body = {"text": body or "hello"}
        client_id = client_id or f"{self.user}-{next(self.world.numbers)}"
        payload = msgspec.msgpack.encode([client_id, type, body, options, ext])
        request = next(self.world.numbers)
        self.world.im.on_sends([(self.session, request, target, payload)])
        return await self.answer(request)

    async def call(self, method: str, **args: Any) -> tuple[int, Any]:
        """-> (code, result map)."""
        request = next(self.world.numbers)
        self.world.im.on_call(self.session, request, method, msgspec.msgpack.encode(args))
        return await self.answer(request)

    async def ok(self, method: str, **args: Any) -> Any:
        """The result of a call that must succeed."""
        code, result = await self.call(method, **args)
        assert code == 0, (method, args, code, result)
        return result

    async def forced(self, method: str, **args: Any) -> Any:
        """What the application's server does in this user's name: nobody is asked."""
        return await self.world.invoke(method, args, self.user)

    async def said(self, target: str, body: Any = None, **how: Any) -> tuple[int, int]:
        """-> (server_id, seq) of a send that must succeed."""
        code, payload = await self.send(target, body, **how)
        assert code == 0, (target, code, payload)
        return payload[0], payload[1]

    async def answer(self, request: int) -> tuple[int, Any]:
        replies = self.connection.replies
        await until(lambda: request in replies)
        return replies.pop(request)

    async def catch_up(self, ack: bool = True) -> dict[str, list[list[Any]]]:
        """Sync and pull everything this device lacks; conversation -> messages without placeholders."""
        got: dict[str, list[list[Any]]] = {}
        done: dict[str, int] = {}
        cursor, more = 0, True
        while more:
            page = await self.ok("sync", cursor=cursor, limit=500)
            for conversation, last_seq, _, min_seq, acked, *_ in page["conversations"]:
                seq = max(acked + 1, min_seq)
                rest = seq <= last_seq
                while rest:
                    pulled = await self.ok("pull", conversation=conversation, from_seq=seq, limit=200)
                    messages = pulled["messages"]
                    got.setdefault(conversation, []).extend(m for m in messages if not m[10] & 4)
                    seq = messages[-1][1] + 1 if messages else seq
                    rest = pulled["more"] and bool(messages)
                if last_seq:
                    done[conversation] = last_seq
            cursor, more = page["cursor"], page["more"]
        names = list(done)
        for start in range(0, len(names) if ack else 0, 500):
            await self.ok("ack", acks={name: done[name] for name in names[start : start + 500]})
        return got

    async def pushed_to(self, vendor: str = "apns", **how: Any) -> None:
        """This device is pushed to while it is away."""
        token = f"{self.user}{self.session.device}"
        await self.ok("push.register", vendor=vendor, token=token, **how)

    async def logout(self, code: int = 1000) -> None:
        self.world.downlink.disconnect(self.session)
        self.world.im.on_logout(self.session, code)
        await self.world.settle()


async def until(condition: Any, turns: int = 20_000) -> None:
    """Turn the event loop until the condition holds; the writer thread answers within a few milliseconds."""
    for _ in range(turns):
        if condition():
            return
        await asyncio.sleep(0.0005)
    raise AssertionError("the condition did not come true")


class World:
    """Service, store, downlink, clock."""

    def __init__(self, store: SqliteStore | PostgresStore, settings: ImSettings | None, **ports: Any) -> None:
        self.store = store
        self.clock = TestClock()
        self.downlink = RecordingDownlink()
        self.im = ImService(store, Ports(self.downlink, self.clock, **ports), settings)
        self.numbers = itertools.count(1)

    async def login(self, user: str, device: str = "phone", platform: int = 1) -> Person:
        number = next(self.numbers)
        session = Session(1, number, user, device)
        connection = self.downlink.connect(session, number)
        self.im.on_login(session, platform, number)
        await self.settle()
        return Person(self, connection, platform)

    async def settle(self) -> None:
        """Wait until logins, logouts and calls under way are done."""
        await self.im.settle()

    async def invoke(self, method: str, args: dict[str, Any], user: str = "") -> Any:
        """A call of the application's server that must succeed, and its answer as it goes over the wire."""
        return msgspec.msgpack.decode(msgspec.msgpack.encode(await self.im.invoke(method, args, user)))

    async def attempt(self, method: str, args: dict[str, Any], user: str = "") -> int:
        """A call of the application's server that may be refused. -> code"""
        try:
            await self.im.invoke(method, args, user)
        except ImError as error:
            return int(error.code)
        return 0

    async def copies(self) -> list[Event]:
        """The durable copy from its beginning."""
        found: list[Event] = []
        cursor = await self.im.events.first()
        while True:
            page = await self.im.events.read(cursor, 100)
            found += page.events
            cursor = page.next
            if not page.more:
                return found

    async def unread(self, user: str) -> dict[str, int]:
        return (await self.store.unread(user, None, self.clock.ms)).counts


async def on_postgres(path: Path, server: PostgresServer) -> None:
    """Worlds opened in `path` from now on share an empty schema of this server."""
    name = f"w{next(_schemas)}"
    admin = await asyncpg.connect(server.dsn())
    await admin.execute(f"CREATE SCHEMA {name}")
    await admin.close()
    (path / "dsn").write_text(f"{server.dsn()}&search_path={name}")


@asynccontextmanager
async def open_world(path: Path, settings: ImSettings | None = None, **ports: Any) -> AsyncIterator[World]:
    """A started world in `path`; stopped at the end. On SQLite, or on the PostgreSQL that `path` names
    (`on_postgres`)."""
    world = await _started(path, settings, **ports)
    try:
        yield world
    finally:
        await world.im.stop()
        await world.store.stop()


@asynccontextmanager
async def killed_world(path: Path, settings: ImSettings | None = None, **ports: Any) -> AsyncIterator[World]:
    """The same; at the end nothing is finished, as after kill -9: only what is committed is left."""
    before = asyncio.all_tasks()
    world = await _started(path, settings, **ports)
    try:
        yield world
    finally:
        await world.im.upkeep.stop()
        await world.store.stop()
        left = asyncio.all_tasks() - before
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)


async def _started(path: Path, settings: ImSettings | None, **ports: Any) -> World:
    dsn = path / "dsn"
    store: SqliteStore | PostgresStore
    if dsn.exists():
        store = PostgresStore(dsn.read_text(), connections=3)
    else:
        store = SqliteStore(path / "im.sqlite3", readers=1, cache_bytes=8 << 20)
    await store.start()
    world = World(store, settings, **ports)
    await world.im.start()
    return world
