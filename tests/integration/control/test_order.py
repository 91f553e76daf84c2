"""A sender's messages keep their order, and nobody hangs, when an im process or the bus dies under them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from tests.integration.control.test_several_processes import Cluster, texts
from tests.support.nats_process import NatsProcess

MESSAGES = 200
PATIENCE_S = 12.0
"""A client asks again after 20 s: whoever is answered sooner was not left hanging."""


async def im_process_dies(cluster: Cluster) -> None:
    await asyncio.to_thread(cluster.im.kill)
    await asyncio.to_thread(cluster.im.start)


async def bus_is_away(cluster: Cluster) -> None:
    await asyncio.to_thread(cluster.nats.kill)
    await asyncio.sleep(3)
    await asyncio.to_thread(cluster.nats.start)


@pytest.mark.parametrize("fault", [im_process_dies, bus_is_away])
async def test_messages_of_a_sender_keep_their_order(
    tmp_path: Path, fault: Callable[[Cluster], Awaitable[None]]
) -> None:
    cluster = Cluster.make(tmp_path, NatsProcess(tmp_path))
    try:
        await asyncio.to_thread(cluster.start)
        async with cluster.client("alice", 0) as alice, cluster.client("bob", 1) as bob:
            await alice.send("bob", "first")
            assert await texts(bob, 1) == ["first"]
            wanted = [f"m{number}" for number in range(MESSAGES)]
            sends, latest = [], 0.0
            failing = asyncio.create_task(fault(cluster))

            async def one(text: str) -> None:
                nonlocal latest
                began = time.monotonic()
                await alice.send("bob", text)
                latest = max(latest, time.monotonic() - began)

            for text in wanted:
                sends.append(asyncio.create_task(one(text)))
                await asyncio.sleep(0.01)
            await asyncio.gather(failing, *sends)
            assert await texts(bob, MESSAGES) == wanted
            assert latest < PATIENCE_S
    finally:
        await asyncio.to_thread(cluster.stop)
