"""SIGTERM while the store does not answer: the end comes in bounded time and says what was not finished."""

from __future__ import annotations

import asyncio
import os
import signal
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from qianwan.constants import RequestCode

from control.im.role import STOP_S
from control.process.run import CUT_S
from tests.support.chat_link import PlainLink
from tests.support.postgres_server import PostgresServer
from tests.support.server_process import ServerProcess

DRAIN_S = 1.0
BOUND_S = DRAIN_S + 2.0 + STOP_S + 5.0  # drain, closing, the store's share, and what a loaded machine needs


@pytest.fixture(scope="module")
def postgres_server() -> Iterator[PostgresServer]:
    with PostgresServer() as server:
        yield server


@contextmanager
def frozen_postgres(server: PostgresServer) -> Iterator[None]:
    """Its processes stand still: connections stay open and nothing answers."""
    pids = server.pids()
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)


@contextmanager
def locked_sqlite(data_dir: Path) -> Iterator[None]:
    holder = sqlite3.connect(data_dir / "store.sqlite3", isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    try:
        yield
    finally:
        holder.execute("ROLLBACK")
        holder.close()


@pytest.mark.parametrize("engine", ["sqlite", "postgres"])
async def test_the_end_is_bounded(engine: str, tmp_path: Path, postgres_server: PostgresServer) -> None:
    settings: dict[str, object] = {"gateway.loops": 1, "server.drain_timeout_s": DRAIN_S}
    if engine == "postgres":
        settings |= {"store.kind": "postgres", "store.url": postgres_server.dsn()}
    with ServerProcess(tmp_path / "data", settings) as server:
        ann = await PlainLink.open(server, server.token("ann"), "phone")
        assert (await ann.send("u/ben", "first", "hello")).code == RequestCode.OK
        trouble = frozen_postgres(postgres_server) if engine == "postgres" else locked_sqlite(server.data_dir)
        with trouble:
            waiting = asyncio.create_task(ann.send("u/ben", "open", "hello"))
            call = asyncio.create_task(ann.call("conversations"))
            await asyncio.sleep(0.2)
            began = time.monotonic()
            code = await asyncio.to_thread(server.stop, signal.SIGTERM, 60)
            took = time.monotonic() - began
        await asyncio.gather(waiting, call, return_exceptions=True)
        assert took <= BOUND_S
        said = server.log()
        assert "Traceback" not in said.partition("SIGTERM")[2]
        if code:
            assert "not finished" in said
            assert code == 1
        else:
            assert engine == "sqlite", "a store that stands still cannot have been closed"
        ann.close()


@pytest.mark.parametrize("more", [1, 2])
async def test_one_more_signal_ends_a_store_that_is_being_closed(tmp_path: Path, more: int) -> None:
    """What hangs in the closing is not waited for: exit code 1 and one line, soon and then at once."""
    with ServerProcess(tmp_path / "data", {"gateway.loops": 1}) as server:
        ann = await PlainLink.open(server, server.token("ann"), "phone")
        with locked_sqlite(server.data_dir):
            waiting = asyncio.create_task(ann.send("u/ben", "open", "hello"))
            await asyncio.sleep(0.1)
            os.kill(server.pid, signal.SIGTERM)
            await asyncio.to_thread(server.wait_for, lambda: server.get("/livez")[0] == 0, "closing")
            began = time.monotonic()
            if more == 2:
                os.kill(server.pid, signal.SIGINT)
                await asyncio.to_thread(server.wait_for, lambda: server.log().count('"effect"') == 2, "heard")
            assert await asyncio.to_thread(server.stop, signal.SIGINT) == 1
            assert time.monotonic() - began < (CUT_S if more == 2 else STOP_S / 2)
        said = server.log().partition("SIGTERM")[2].splitlines()[1:]
        assert [line for line in said if "stopped, but not finished" in line] == said[-1:]
        assert "SIGINT came once more before the end" in said[-1]
        await asyncio.gather(waiting, return_exceptions=True)
        ann.close()
