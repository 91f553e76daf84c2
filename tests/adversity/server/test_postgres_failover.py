"""The primary of PostgreSQL goes, its synchronous standby is promoted: the server goes on by itself, with all
that was acknowledged.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections import defaultdict
from pathlib import Path

import asyncpg
import pytest
import qianwan

from im_service.storage.postgres.connection import each_host
from tests.integration.control.test_bus_outage import Said, talk
from tests.support.chat_ledger import Row, judge_log
from tests.support.chat_world import EAGER, root_of
from tests.support.patroni_pair import PatroniPair
from tests.support.postgres_pair import PostgresPair
from tests.support.sdk_client import until
from tests.support.server_process import ServerProcess

BACK_S = 120.0
PAIRS: dict[str, type[PostgresPair]] = {"by hand": PostgresPair, "by Patroni": PatroniPair}
SHORT = [("killed", "by hand")]
LONG = [(gone, how) for how in PAIRS for gone in ("killed", "standing still")]
"""One that stands still is given up after the store's time limits, in about a quarter of a minute; for
Patroni the lead of one that is gone is over after 20 s."""


async def stored(dsn: str) -> dict[str, list[Row]]:
    """Every stored message, as the new primary has it."""
    conn = await asyncpg.connect(dsn)
    try:
        log: dict[str, list[Row]] = defaultdict(list)
        for name, *rest in await conn.fetch(
            "SELECT c.name, m.seq, m.server_id, a.name, m.client_id FROM message m"
            " JOIN conversation c ON c.id = m.conv JOIN account a ON a.id = m.sender ORDER BY c.name, m.seq"
        ):
            log[name].append(Row(*rest))
        return dict(log)
    finally:
        await conn.close()


@pytest.mark.parametrize(("gone", "promoted"), LONG if os.environ.get("QIANWAN_TEST_LONG") else SHORT)
async def test_what_was_acknowledged_survives_and_sends_go_on_without_a_restart(
    gone: str, promoted: str, tmp_path: Path
) -> None:
    said = [Said(f"s{n}", f"u/r{n}") for n in range(4)]
    stop = asyncio.Event()
    async with PAIRS[promoted]() as pair:
        settings = {"store.kind": "postgres", "store.url": pair.dsn}
        server = ServerProcess(tmp_path / "data", settings)
        await asyncio.to_thread(server.start)
        pid = server.pid
        host, port = server.gateway
        clients = [
            qianwan.Client(
                f"{host}:{port}",
                token=server.token(one.sender),
                root_key=root_of(server),
                backoff=EAGER,
                max_pending=10_000,
            )
            for one in said
        ]
        try:
            async with asyncio.TaskGroup() as group:
                for client, one in zip(clients, said, strict=True):
                    await client.open()
                    group.create_task(talk(client, one, stop))
                await until(lambda: all(len(one.acked) > 20 for one in said), BACK_S)
                if gone == "killed":
                    await asyncio.to_thread(pair.kill, "one")
                else:
                    pair.freeze("one")
                since = time.monotonic()
                await pair.promote("two")
                had = [len(one.acked) for one in said]
                await until(
                    lambda: all(len(one.acked) > n + 20 for one, n in zip(said, had, strict=True)), BACK_S
                )
                print(f"{gone}, promoted {promoted}: sends went on after {time.monotonic() - since:.1f} s")
                stop.set()
            await asyncio.to_thread(server.wait_ready, BACK_S)
            assert server.pid == pid, "the same process is ready again"
            for client in clients:
                await client.close()
        finally:
            await asyncio.to_thread(server.stop)
        log = await stored(pair.dsn_of("two"))
    assert [each for one in said for each in one.complaints(log)] == []
    assert judge_log(log) == []
    assert not any(one.refused for one in said), "a patient client loses nothing"


def test_a_dsn_of_several_hosts_is_one_for_each() -> None:
    assert each_host("postgresql://u:p@a:1,[::1]:2,c/db?sslmode=require") == [
        "postgresql://u:p@a:1/db?sslmode=require",
        "postgresql://u:p@[::1]:2/db?sslmode=require",
        "postgresql://u:p@c/db?sslmode=require",
    ]
    for alone in ("postgresql://u@/db?host=/run/a,/run/b", "postgres://h/db"):
        assert each_host(alone) == [alone]
