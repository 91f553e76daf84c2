"""The bus is three NATS servers: one of them killed, or standing still, costs seconds and no message.

Which one: that of the im process, through which everything goes.
"""

from __future__ import annotations

import asyncio
import time
from itertools import pairwise
from pathlib import Path

import qianwan

from tests.integration.control.test_bus_outage import Said, talk
from tests.integration.control.test_several_processes import Cluster
from tests.support.chat_ledger import judge_log, read_store
from tests.support.nats_cluster import NatsCluster
from tests.support.nats_process import NatsProcess
from tests.support.sdk_client import until

STALL_S = 10.0
PATIENCE_S = 60.0


class Listener:
    """When each message came."""

    def __init__(self, client: qianwan.Client) -> None:
        self.client = client
        self.came: dict[str, float] = {}
        self.doubled: list[str] = []

    async def listen(self) -> None:
        async for message in self.client.messages():
            if message.client_id in self.came:
                self.doubled.append(message.client_id)
            self.came[message.client_id] = time.monotonic()

    def stall(self, since: float) -> float:
        """The longest time without a message, of those that came then."""
        times = [since, *(at for at in self.came.values() if at > since)]
        return max(late - early for early, late in pairwise(times))

    async def goes_on(self) -> None:
        """Messages come again, not only those that were on their way."""
        had = len(self.came)
        await until(lambda: len(self.came) > had + 40, PATIENCE_S)


def of_the_im_process(nats: NatsCluster) -> str:
    return next(name for name in nats.servers if "node-1" in nats.clients(name))


async def test_one_server_of_three_killed_or_stopped_loses_nothing(tmp_path: Path) -> None:
    with NatsCluster(tmp_path / "nats") as nats:
        cluster = Cluster.make(tmp_path, NatsProcess(tmp_path))
        for process in cluster.all:
            process.settings |= nats.settings
        try:
            await asyncio.to_thread(cluster.start)
            said, heard = await _while_people_talk(cluster, nats)
        finally:
            await asyncio.to_thread(cluster.stop)
    log = read_store(cluster.folder / "data")
    assert [each for one in said for each in one.complaints(log)] == []
    assert judge_log(log) == []
    for one, listener in zip(said, heard, strict=True):
        assert not one.refused
        assert not one.unknown
        assert set(listener.came) == set(one.acked), "everybody heard all that was acknowledged"
        assert not listener.doubled


async def _while_people_talk(cluster: Cluster, nats: NatsCluster) -> tuple[list[Said], list[Listener]]:
    said = [Said(f"s{n}", f"u/r{n}") for n in range(2)]
    heard = [Listener(cluster.client(f"r{n}", 1 - n)) for n in range(2)]
    senders = [cluster.client(one.sender, n) for n, one in enumerate(said)]
    stop = asyncio.Event()
    everybody = [*senders, *(listener.client for listener in heard)]
    for client in everybody:
        await client.open()
    listening = [asyncio.create_task(listener.listen()) for listener in heard]
    async with asyncio.TaskGroup() as group:
        for client, one in zip(senders, said, strict=True):
            group.create_task(talk(client, one, stop))
        for listener in heard:
            await listener.goes_on()

        victim, since = of_the_im_process(nats), time.monotonic()
        await asyncio.to_thread(nats.kill, victim)
        for listener in heard:
            await listener.goes_on()
        stalls = [round(listener.stall(since), 2) for listener in heard]
        print(f"{victim} killed: nothing came for {stalls} s")
        assert max(stalls) <= STALL_S
        await asyncio.to_thread(nats.start, victim)

        victim, since = of_the_im_process(nats), time.monotonic()
        nats.freeze(victim)
        try:
            for listener in heard:
                await listener.goes_on()  # though it still stands there
        finally:
            nats.go_on(victim)
        print(f"{victim} stopped: nothing came for {[round(each.stall(since), 2) for each in heard]} s")
        stop.set()
    await until(
        lambda: all(set(each.came) >= set(one.acked) for one, each in zip(said, heard, strict=True)),
        PATIENCE_S,
    )
    for client in everybody:
        assert client.state is qianwan.State.ONLINE
        await client.close()
    await asyncio.gather(*listening, return_exceptions=True)
    return said, heard
