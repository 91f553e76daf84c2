"""Ends of processes for which something is away or stands still: soon, with 0, and everybody was told."""

from __future__ import annotations

import asyncio
import os
import signal
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from qianwan.constants import RequestCode

from tests.integration.control.test_several_processes import FAST, Cluster
from tests.support.chat_link import PlainLink
from tests.support.chat_world import root_of
from tests.support.nats_process import NatsProcess
from tests.support.server_process import ServerProcess

SOON_S = 12.0
"""Of several processes at once on a loaded machine; a drain alone would take 20."""


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    made = Cluster.make(tmp_path, NatsProcess(tmp_path))
    try:
        made.start()
        yield made
    finally:
        made.nats.go_on()
        made.stop()


async def all_end(cluster: Cluster) -> None:
    """Every process ends soon, with exit code 0 and without a traceback."""
    began = time.monotonic()
    codes = await asyncio.gather(*(asyncio.to_thread(each.stop) for each in cluster.all))
    assert codes == [0] * len(cluster.all)
    assert time.monotonic() - began < SOON_S
    for each in cluster.all:
        assert "Traceback" not in each.log().partition("SIGTERM")[2]


async def is_red(process: ServerProcess, why: str) -> None:
    await asyncio.to_thread(process.wait_for, lambda: why in process.get("/readyz")[1].decode(), why, 15)


async def test_without_the_bus_all_end_soon_and_who_waits_is_answered(cluster: Cluster) -> None:
    gateway = cluster.gateways[0]
    ann = await PlainLink.open(gateway, cluster.control.token("ann"), "phone", root=root_of(cluster.control))
    assert (await ann.send("u/ben", "first", "hello")).code == RequestCode.OK
    await asyncio.to_thread(cluster.nats.kill)
    open_one = asyncio.create_task(ann.send("u/ben", "open", "hello"))
    await is_red(gateway, "no live im process")
    held = asyncio.create_task(ann.send("u/ben", "held", "hello"))
    await asyncio.sleep(0.2)
    await all_end(cluster)
    codes = {(await held).code, (await open_one).code}
    assert codes <= {RequestCode.UNAVAILABLE, RequestCode.TIMEOUT}
    ann.close()


async def test_a_bus_that_stands_still_is_not_ready_and_keeps_nobody_from_its_end(cluster: Cluster) -> None:
    cluster.nats.freeze()
    began = time.monotonic()
    for process in cluster.all:
        await is_red(process, "carries nothing")
    assert time.monotonic() - began < FAST["bus.dead_after_s"] + 5.0
    cluster.nats.go_on()
    for process in (cluster.im, *cluster.gateways):
        await asyncio.to_thread(process.wait_ready, 15)
    cluster.nats.freeze()
    await is_red(cluster.gateways[0], "carries nothing")
    await all_end(cluster)


async def test_what_waits_for_its_commit_at_the_end_is_answered(fresh: ServerProcess) -> None:
    """The commit takes longer than clients of a lone node are given to leave."""
    fresh.start()
    ann = await PlainLink.open(fresh, fresh.token("ann"), "phone")
    assert (await ann.send("u/ben", "first", "hello")).code == RequestCode.OK
    holder = sqlite3.connect(fresh.data_dir / "store.sqlite3", isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    sends = [asyncio.create_task(ann.send("u/ben", f"m{n}", "hello")) for n in range(5)]
    await asyncio.sleep(0.2)
    os.kill(fresh.pid, signal.SIGTERM)
    await asyncio.to_thread(fresh.wait_for, lambda: "sent away at once" in fresh.log(), "draining")
    await asyncio.sleep(1.5)
    holder.execute("ROLLBACK")
    holder.close()
    answers = await asyncio.gather(*sends)
    assert [answer.code for answer in answers] == [RequestCode.OK] * 5
    assert await asyncio.to_thread(fresh.stop) == 0
    ann.close()
