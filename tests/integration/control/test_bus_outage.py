"""The bus is away for longer than anything waits for it, under load: what was acknowledged is stored once,
what was refused is not stored, everybody's messages keep their order.

The outage crosses both bounds: `bus.dead_after_s` (everybody takes everybody for dead) and HELD_S (a gateway
answers 503 and 504). A longer one only repeats what comes then.
"""

from __future__ import annotations

import asyncio
import os
from collections import Counter
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

import qianwan
from qianwan.errors import RequestTimeout, Unavailable

from control.gateway.upstream import HELD_S
from tests.integration.control.test_several_processes import FAST, Cluster
from tests.support.chat_ledger import Log, judge_log, read_store
from tests.support.nats_process import NatsProcess
from tests.support.sdk_client import until

OUTAGE_S = float(os.environ.get("QIANWAN_TEST_OUTAGE_S", "0")) or FAST["bus.dead_after_s"] + HELD_S + 1.5
PACE_S = 0.04
BACK_S = 12.0
"""From the end of the outage until everybody is acknowledged again."""


@dataclass
class Said:
    """What one sender was told of its messages."""

    sender: str
    target: str
    acked: dict[str, int] = field(default_factory=dict)  # client id -> seq
    refused: set[str] = field(default_factory=set)
    unknown: set[str] = field(default_factory=set)
    number: int = 0

    def next_id(self) -> str:
        self.number += 1
        return f"{self.sender}-{self.number}"

    def complaints(self, log: Log) -> list[str]:
        stored = Counter(row.client_id for rows in log.values() for row in rows if row.sender == self.sender)
        numbers = {row.client_id: row.seq for rows in log.values() for row in rows}
        found = [
            f"{each} was acked and is stored {stored[each]} times" for each in self.acked if stored[each] != 1
        ]
        found += [f"{each} was refused and is stored" for each in self.refused if stored[each]]
        found += [f"{each} is stored {count} times" for each, count in stored.items() if count > 1]
        found += [
            f"{each} has another number" for each, seq in self.acked.items() if numbers.get(each) != seq
        ]
        if len(self.acked) + len(self.refused) + len(self.unknown) != self.number:
            found.append(f"{self.sender} was not told of all")
        return found


async def talk(client: qianwan.Client, said: Said, stop: asyncio.Event) -> None:
    """At a pace, whether the earlier ones are answered or not."""

    async def one(client_id: str) -> None:
        try:
            ack = await client.send_to(said.target, f"{client_id} ", client_id=client_id)
            said.acked[client_id] = ack.seq
        except RequestTimeout:
            said.unknown.add(client_id)
        except Unavailable:
            said.refused.add(client_id)

    async with asyncio.TaskGroup() as group:
        while not stop.is_set():
            group.create_task(one(said.next_id()))
            await asyncio.sleep(PACE_S)


async def post(cluster: Cluster, said: Said, stop: asyncio.Event, key: str) -> None:
    """An app server, one request after the other; it does not repeat any."""
    while not stop.is_set():
        client_id = said.next_id()
        body = {"sender": said.sender, "target": said.target, "body": {"text": "x"}, "client_id": client_id}
        status, answer = await asyncio.to_thread(cluster.control.post, "/v1/messages", body, key)
        if status == 200:
            said.acked[client_id] = answer["seq"]
        else:
            {503: said.refused, 504: said.unknown}[status].add(client_id)
        await asyncio.sleep(PACE_S)


async def test_nothing_acked_is_lost_nothing_refused_is_stored_and_order_is_kept(tmp_path: Path) -> None:
    cluster = Cluster.make(tmp_path, NatsProcess(tmp_path))
    patient = [Said(f"p{n}", f"u/r{n}") for n in range(3)]
    hasty = [Said(f"h{n}", f"u/r{n}") for n in range(3)]
    apps = [Said(f"app{n}", f"u/r{n}") for n in range(2)]
    try:
        await asyncio.to_thread(cluster.start)
        key = cluster.control.first_api_key()
        stop = asyncio.Event()
        async with asyncio.TaskGroup() as group:
            clients = [cluster.client(said.sender, n % 2) for n, said in enumerate(patient)]
            # These hear the first refusal as it is, and have many unanswered at once.
            clients += [
                cluster.client(said.sender, n % 2, refused_s=0, pipeline=1000) for n, said in enumerate(hasty)
            ]
            for client in clients:
                await client.open()
            for client, said in zip(clients, patient + hasty, strict=True):
                group.create_task(talk(client, said, stop))
            for said in apps:
                group.create_task(post(cluster, said, stop, key))
            await until(lambda: all(said.acked for said in patient + hasty + apps))
            await asyncio.to_thread(cluster.nats.kill)
            await asyncio.sleep(OUTAGE_S)
            await asyncio.to_thread(cluster.nats.start)
            had = {said.sender: len(said.acked) for said in patient + apps}
            await until(lambda: all(len(said.acked) > had[said.sender] for said in patient + apps), BACK_S)
            stop.set()
        for client in clients:
            assert client.state is qianwan.State.ONLINE
            await client.close()
    finally:
        await asyncio.to_thread(cluster.stop)
    log = read_store(cluster.folder / "data")
    everybody = patient + hasty + apps
    told = {said.sender: (len(said.acked), len(said.refused), len(said.unknown)) for said in everybody}
    print(told)
    assert [each for said in everybody for each in said.complaints(log)] == []
    assert judge_log(log) == []
    assert not any(said.refused or said.unknown for said in patient), "a patient client loses nothing"
    assert sum(len(said.refused) for said in hasty), "the outage was long enough for refusals"
    assert sum(len(said.unknown) for said in hasty), "... and for unknown outcomes"
    for said in patient:
        numbers = [said.acked[f"{said.sender}-{number}"] for number in range(1, said.number + 1)]
        assert all(one < two for one, two in pairwise(numbers))
