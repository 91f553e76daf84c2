"""One gateway of two is drained by an order while its process goes on; its clients move once, and come back
when they are let.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
import qianwan

from control.coordination.sqlite_documents import SqliteDocuments
from control.gateway.admission import StormOrder
from control.gateway.drain import DrainOrder
from control.keys.data_folder import COORDINATION_FILE
from tests.support.nats_process import NatsProcess
from tests.support.server_process import ServerProcess

FAST = {"bus.kind": "nats", "bus.beacon_s": 0.2, "bus.dead_after_s": 1.5}
CLIENTS = 60


class Pair:
    """Control with im, and two processes that are gateways alone, on one data folder."""

    def __init__(self, folder: Path) -> None:
        self.nats = NatsProcess(folder)
        self.data = folder / "data"
        settings = FAST | {"bus.nats_url": self.nats.url}
        self.control = ServerProcess(self.data, settings | {"server.node_id": 1}, "im,control")
        self.gateways = [
            ServerProcess(self.data, settings | {"server.node_id": number}, "gateway") for number in (2, 3)
        ]

    @property
    def all(self) -> list[ServerProcess]:
        return [self.control, *self.gateways]

    def start(self) -> None:
        self.nats.start()
        self.control.start()
        for gateway in self.gateways:
            gateway.start()
        self.control.wait_for(lambda: self.lbs() == {2, 3}, "two gateways in LBS")
        self.root = json.loads(self.control.get("/v1/lbs")[1])["root"]

    def stop(self) -> None:
        for process in reversed(self.all):
            process.stop()
        self.nats.kill()

    def lbs(self) -> set[int]:
        status, body = self.control.get("/v1/lbs?user=x")
        ports = {gateway.gateway[1]: number for number, gateway in enumerate(self.gateways, 2)}
        return {ports[one["port"]] for one in json.loads(body)["gateways"]} if status == 200 else set()

    def sessions(self, gateway: int) -> int:
        return int(self.gateways[gateway].metrics()["qianwan_gateway_sessions"])

    def client(self, user: str, gateway: int, **settings: Any) -> qianwan.Client:
        host, port = self.gateways[gateway].gateway
        token = self.control.token(user)
        return qianwan.Client(f"{host}:{port}", token=token, root_key=self.root, device_id="d", **settings)


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    made = Pair(tmp_path_factory.mktemp("pair"))
    try:
        made.start()
        yield made
    except BaseException:
        for process in made.all:
            print(f"--- {process.roles}\n{process.tail(30)}")
        raise
    finally:
        made.stop()


@contextlib.asynccontextmanager
async def documents(pair: Pair) -> AsyncIterator[SqliteDocuments]:
    opened = SqliteDocuments(pair.data / COORDINATION_FILE)
    await opened.start()
    try:
        yield opened
    finally:
        await opened.stop()


async def until(pair: Pair, condition: Any, what: str) -> None:
    await asyncio.to_thread(pair.control.wait_for, condition, what)


async def test_a_drained_gateways_clients_move_once_at_the_rate_and_nothing_is_lost(pair: Pair) -> None:
    online: list[qianwan.StateChange] = []

    def heard(change: qianwan.StateChange) -> None:
        if change.state is qianwan.State.ONLINE:
            online.append(change)

    async with contextlib.AsyncExitStack() as stack, documents(pair) as orders:
        people = []
        for number in range(CLIENTS):
            people.append(await stack.enter_async_context(pair.client(f"u{number}", 0, on_state=heard)))
        assert (pair.sessions(0), len(online)) == (CLIENTS, CLIENTS)
        order = DrainOrder(rate=30, deadline_s=20)
        began = time.monotonic()
        await orders.put("drain/node-2", msgspec.json.encode(order), 0)
        await until(pair, lambda: pair.lbs() == {3}, "LBS names the other one alone")
        assert pair.gateways[0].get("/readyz")[0] == 503
        await until(pair, lambda: pair.gateways[0].metrics()["qianwan_drain_told"] >= CLIENTS, "all are told")
        took = time.monotonic() - began
        assert CLIENTS / 30 * 0.85 < took < CLIENTS / 30 * 1.5 + 1.5
        await until(pair, lambda: pair.sessions(1) == CLIENTS, "all are at the other one")
        assert pair.sessions(0) == 0
        assert len(online) == 2 * CLIENTS, "each has moved once"
        assert all([(await one.send("u0", f"from {number}")).seq for number, one in enumerate(people[1:9])])
        # who comes anyway is taken, and sent on
        async with pair.client("late", 0):
            await until(pair, lambda: pair.sessions(1) == CLIENTS + 1, "the late one is sent on")
        await orders.delete("drain/node-2", None)
        await until(pair, lambda: pair.lbs() == {2, 3}, "both again")
        assert pair.gateways[0].get("/readyz")[0] == 200
        async with pair.client("back", 0) as back:
            assert (await back.send("u0", "hello")).seq
            assert pair.sessions(0) == 1


async def test_an_order_for_the_cluster_is_shared_by_the_gateways(pair: Pair) -> None:
    def rates() -> list[float]:
        return [one.metrics()["qianwan_admission_new_per_second"] for one in pair.gateways]

    async with documents(pair) as orders:
        await orders.put("storm/cluster", msgspec.json.encode(StormOrder(new_per_s=100)), 0)
        await until(pair, lambda: rates() == [50.0, 50.0], "half of it each")
        await orders.put("storm/node/node-3", msgspec.json.encode(StormOrder(new_per_s=10, admit="known")), 0)
        await until(pair, lambda: rates() == [50.0, 10.0], "less at one of them")
        with pytest.raises(qianwan.HandshakeRejected):
            async with asyncio.timeout(20):
                await _refused(pair)
        await orders.put("storm/node/node-3", b'{"new_per_s": -3}', None)
        for key in ("storm/cluster", "storm/node/node-3"):
            await orders.delete(key, None)
        await until(pair, lambda: rates() == [0.0, 0.0], "no limit again")


async def _refused(pair: Pair) -> None:
    """A newcomer hears when to come again, and would wait; the test does not."""
    told: list[BaseException] = []

    async def sleep(seconds: float) -> None:
        raise told[-1]

    def heard(change: qianwan.StateChange) -> None:
        if isinstance(change.reason, qianwan.HandshakeRejected):
            told.append(change.reason)

    async with pair.client("newcomer", 1, on_state=heard, sleep=sleep):
        raise AssertionError("let in")
