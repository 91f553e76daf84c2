"""A gateway that stands still for longer than the dead time is expired while it lives: it must heal."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path

import qianwan

from tests.integration.control.test_several_processes import Cluster, room_texts, texts
from tests.support.nats_process import NatsProcess
from tests.support.sdk_client import until
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


async def group(cluster: Cluster, path: str, **body: object) -> None:
    status, answer = await asyncio.to_thread(cluster.control.post, f"/v1/groups{path}", body)
    assert status < 300, answer


async def hears_the_groups_of_now(eve: qianwan.Client, dan: qianwan.Client) -> None:
    """dan was put out of one and came into another while nobody could tell the gateway."""
    heard: list[str] = []

    async def listen() -> None:
        async for message in dan.messages():
            heard.append(message.text)

    listening = asyncio.create_task(listen())
    async with asyncio.timeout(20):
        while "welcome" not in heard:
            await eve.send_group("new", "welcome")
            await asyncio.sleep(0.1)
        await eve.send_group("old", "secret")
        await eve.send_group("new", "end")
        await until(lambda: "end" in heard)
    assert "secret" not in heard
    listening.cancel()


async def stall(cluster: Cluster) -> None:
    still = cluster.gateways[1]
    async with (
        cluster.client("alice", 0) as alice,
        cluster.client("bob", 1) as bob,
        cluster.client("cho", 1) as cho,
        cluster.client("dan", 1) as dan,
        cluster.client("eve", 0) as eve,
    ):
        await group(cluster, "", group="old", owner="eve", members=["dan"])
        await asyncio.to_thread(cluster.control.room, "hall")
        stage, hall = await alice.join_room("hall"), await bob.join_room("hall")
        await alice.send("bob", "before")
        assert await texts(bob, 1) == ["before"]
        await holds(cluster.im, lambda: im_number(cluster, "qianwan_im_sessions") == 5, "all sessions")
        accepted = still.metrics()["qianwan_gateway_accepted_total"]
        os.kill(still.pid, signal.SIGSTOP)
        await holds(cluster.im, lambda: im_number(cluster, "qianwan_im_sessions") == 2, "expired")
        for number in range(20):
            await alice.send("bob", f"m{number}")
        await group(cluster, "/old/kick", users=["dan"])
        await group(cluster, "", group="new", owner="eve", members=["dan"])
        leaving = asyncio.create_task(cho.close())  # its logout is told by a gateway that is not heeded
        os.kill(still.pid, signal.SIGCONT)
        await leaving
        assert await texts(bob, 20) == [f"m{number}" for number in range(20)]
        await holds(cluster.im, lambda: im_number(cluster, "qianwan_im_sessions") == 4, "told again")
        await hears_the_groups_of_now(eve, dan)
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
