"""A gateway that stands still for longer than the dead time is expired while it lives: it must heal."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path

import qianwan

from tests.integration.control.test_several_processes import Cluster, room_texts, texts
from tests.support.nats_process import NatsProcess
from tests.support.server_process import ServerProcess


async def holds(process: ServerProcess, condition: object, what: str) -> None:
    await asyncio.to_thread(process.wait_for, condition, what)


def im_number(cluster: Cluster, name: str) -> float:
    return cluster.im.metrics().get(name, -1.0)


async def test_users_of_a_gateway_that_stood_still_miss_nothing(tmp_path: Path) -> None:
    cluster = Cluster.make(tmp_path, NatsProcess(tmp_path))
    try:
        await asyncio.to_thread(cluster.start)
        await stall(cluster)
    finally:
        for process in cluster.gateways:
            if process.process is not None:
                os.kill(process.pid, signal.SIGCONT)
        await asyncio.to_thread(cluster.stop)


async def stall(cluster: Cluster) -> None:
    still = cluster.gateways[1]
    async with (
        cluster.client("alice", 0) as alice,
        cluster.client("bob", 1) as bob,
        cluster.client("cho", 1) as cho,
    ):
        await asyncio.to_thread(cluster.control.room, "hall")
        stage, hall = await alice.join_room("hall"), await bob.join_room("hall")
        await alice.send("bob", "before")
        assert await texts(bob, 1) == ["before"]
        await holds(cluster.im, lambda: im_number(cluster, "qianwan_im_sessions") == 3, "three sessions")
        accepted = still.metrics()["qianwan_gateway_accepted_total"]
        os.kill(still.pid, signal.SIGSTOP)
        await holds(cluster.im, lambda: im_number(cluster, "qianwan_im_sessions") == 1, "expired")
        for number in range(20):
            await alice.send("bob", f"m{number}")
        leaving = asyncio.create_task(cho.close())  # its logout is told by a gateway that is not heeded
        os.kill(still.pid, signal.SIGCONT)
        await leaving
        assert await texts(bob, 20) == [f"m{number}" for number in range(20)]
        await holds(cluster.im, lambda: im_number(cluster, "qianwan_im_sessions") == 2, "told again")
        hints = still.metrics()["qianwan_node_sync_hints_total"]
        assert hints >= 1, "what was published meanwhile was hinted at"

        for number in range(20):
            await alice.send("bob", f"live {number}")
        assert await texts(bob, 20) == [f"live {number}" for number in range(20)]
        await bob.send("alice", "back")
        assert await texts(alice, 1) == ["back"]
        await stage.send("to all")
        assert await room_texts(hall, 1) == ["to all"]
        assert (alice.state, bob.state) == (qianwan.State.ONLINE, qianwan.State.ONLINE)
        assert still.metrics()["qianwan_gateway_accepted_total"] == accepted, "nobody had to connect again"
        total = sum(gateway.metrics()["qianwan_node_topics"] for gateway in cluster.gateways)
        await holds(cluster.im, lambda: im_number(cluster, "qianwan_routes") == total, "the same topics")
    await holds(cluster.im, lambda: im_number(cluster, "qianwan_im_sessions") == 0, "all logged out")
