"""The pool, the schema, and what PostgreSQL's errors mean to a caller."""

import asyncio
import contextlib
import re
import time
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

import asyncpg

from im_service.storage import migrations
from im_service.storage.errors import SchemaError, StoreUnavailable, StoreUnknown
from im_service.storage.ops.incarnation import PINNED
from im_service.storage.ops.tx import Argument, Row, to_postgres

_MIGRATION_LOCK = 0x7169616E  # any number, the same for every process that migrates

AGAIN = (
    asyncpg.DeadlockDetectedError,
    asyncpg.SerializationError,
    asyncpg.UniqueViolationError,  # another process was first; the next attempt sees its row
)
GONE = (
    asyncpg.PostgresConnectionError,
    asyncpg.InsufficientResourcesError,  # disk full, out of memory, too many connections
    asyncpg.OperatorInterventionError,  # shutdown, cancelled
    asyncpg.InvalidAuthorizationSpecificationError,
    asyncpg.InvalidCatalogNameError,
    asyncpg.IdleInTransactionSessionTimeoutError,
    asyncpg.ReadOnlySQLTransactionError,  # a primary that became a standby, or was told to be read-only
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    OSError,
    asyncio.TimeoutError,
)


ELSEWHERE = (
    asyncpg.ReadOnlySQLTransactionError,
    asyncpg.PostgresConnectionError,
    asyncpg.InterfaceError,
    OSError,
)
"""What tells that the other connections of the pool are of no use either: new ones find who takes writes."""


def unavailable(error: BaseException) -> StoreUnavailable:
    return StoreUnavailable(f"PostgreSQL: {reason(error)}")


def unknown(error: BaseException) -> StoreUnknown:
    """Lost while it committed."""
    return StoreUnknown(f"PostgreSQL: {reason(error)}")


def reason(error: BaseException) -> str:
    """For an operator: what the driver says of itself when its connection goes tells nothing."""
    if isinstance(error, asyncpg.TargetServerAttributeNotMatched | asyncpg.ReadOnlySQLTransactionError):
        return "the server takes no writes: it is a standby, or read-only"
    if isinstance(error, asyncpg.InterfaceError | asyncpg.InternalClientError):
        return "the connection was lost"
    if isinstance(error, asyncio.TimeoutError):
        return "no answer in time"
    return f"{type(error).__name__}: {error}"


def each_host(dsn: str) -> list[str]:
    """A DSN of several hosts (`postgresql://user@one:5432,two:5432/name`) as one for each."""
    scheme, mark, rest = dsn.partition("://")
    address = re.split(r"[/?]", rest, maxsplit=1)[0]
    user, at, hosts = address.rpartition("@")
    tail = rest.removeprefix(address)
    return [f"{scheme}{mark}{user}{at}{host}{tail}" for host in hosts.split(",")]


@contextlib.contextmanager
def left_when_silent(conn: asyncpg.Connection) -> Iterator[None]:
    """A server that did not answer in time is not asked to roll back: it may stand still for ever."""
    try:
        yield
    except TimeoutError:
        conn.terminate()
        raise


async def connect(dsn: str, *, timeout: float, **options: object) -> asyncpg.Connection:  # noqa: ASYNC109
    """To the host that takes writes. Each has its share of the time, and its refusal is not the last word:
    asyncpg gives the first one all the time there is, and ends at one that is starting up.
    """
    hosts = each_host(dsn)
    refused: list[BaseException] = []
    for host in hosts:
        try:
            return await asyncpg.connect(
                host, timeout=timeout / len(hosts), target_session_attrs="read-write", **options
            )
        except GONE as error:
            refused.append(error)
    # That a standby takes no writes tells less than why the other one is away.
    raise min(refused, key=lambda error: isinstance(error, asyncpg.TargetServerAttributeNotMatched))


async def open_pool(dsn: str, size: int, timeout_s: float) -> asyncpg.Pool:
    """Connections with full durability; a client that hangs inside a transaction is cut off by the server."""
    try:
        return await asyncpg.create_pool(
            dsn,
            connect=connect,
            min_size=1,
            max_size=size,
            timeout=timeout_s,
            command_timeout=timeout_s,
            statement_cache_size=500,
            server_settings={
                "synchronous_commit": "on",
                "idle_in_transaction_session_timeout": str(int(timeout_s * 1000)),
                "application_name": "qianwan",
                "jit": "off",
            },
        )
    except GONE as error:
        raise unavailable(error) from error


async def look(conn: asyncpg.Connection) -> int:
    """How many migrations are still to be applied. SchemaError, SchemaTooNew."""
    known = migrations.load("postgres")
    there = await conn.fetchval("SELECT to_regclass('schema_migration')")
    found = await conn.fetch("SELECT version, checksum FROM schema_migration") if there else []
    return len(migrations.pending(known, {row[0]: row[1] for row in found}))


async def pinned(conn: asyncpg.Connection) -> bool:
    there = await conn.fetchval("SELECT to_regclass('incarnation')")
    return bool(there and await conn.fetchval(PINNED))


async def migrate(conn: asyncpg.Connection, folder: Path | None = None) -> int:
    """Bring the schema up to date, all or nothing, one process at a time. -> present version."""
    known = migrations.load("postgres", folder)
    async with conn.transaction():
        await conn.execute("SELECT pg_advisory_xact_lock($1)", _MIGRATION_LOCK)
        await conn.execute(
            "CREATE TABLE IF NOT EXISTS schema_migration (version BIGINT PRIMARY KEY, name TEXT NOT NULL,"
            " checksum TEXT NOT NULL, applied_ms BIGINT NOT NULL)"
        )
        found = await conn.fetch("SELECT version, checksum FROM schema_migration")
        for migration in migrations.pending(known, {row[0]: row[1] for row in found}):
            try:
                await conn.execute(migration.sql)
            except (asyncpg.SyntaxOrAccessError, asyncpg.IntegrityConstraintViolationError) as error:
                raise SchemaError(f"{migration.name}: {error}") from error
            await conn.execute(
                "INSERT INTO schema_migration VALUES ($1, $2, $3, $4)",
                migration.version, migration.name, migration.checksum, int(time.time() * 1000),
            )  # fmt: skip
    return known[-1].version


@lru_cache(maxsize=1024)
def _text(text: str) -> str:
    return to_postgres(text)


async def query(conn: asyncpg.Connection, text: str, args: tuple[Argument, ...]) -> list[Row]:
    """Run one statement of the common SQL."""
    return [tuple(row) for row in await conn.fetch(_text(text), *args)]
