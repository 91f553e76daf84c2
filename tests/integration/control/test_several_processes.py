"""Gateways, im processes and control joined by a real NATS server."""

from __future__ import annotations

import asyncio
import json
import random
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import pytest
import qianwan
from qianwan.connection import resumption

from control.bus.nats import NatsBus
from control.settings.values import SecretUrl
from control.streams.operations import Up, Withdraw
from control.streams.stream import Envelope, Kind, decode_envelope
from tests.support.chat_link import PlainLink
from tests.support.chat_world import root_of
from tests.support.faulty_proxy import FaultyProxy
from tests.support.nats_process import NatsProcess
from tests.support.sdk_client import until
from tests.support.server_process import ServerProcess, program

FAST = {"bus.kind": "nats", "bus.beacon_s": 0.2, "bus.dead_after_s": 1.5, "bus.sync_spread_s": 0.5}


@dataclass
class Cluster:
    """One im process, two gateways, one control process, on one data folder."""

    nats: NatsProcess
    folder: Path
    im: ServerProcess
    gateways: list[ServerProcess]
    control: ServerProcess

    @classmethod
    def make(cls, folder: Path, nats: NatsProcess) -> Cluster:
        # A gateway's answer about a session is waited for as long as may be: the machine may be busy.
        settings = FAST | {"bus.nats_url": nats.url, "gateway.resume_ask_ms": 5000}

        def process(number: int, roles: str) -> ServerProcess:
            return ServerProcess(folder / "data", settings | {"server.node_id": number}, roles)

        return cls(
            nats,
            folder,
            process(1, "im"),
            [process(2, "gateway"), process(3, "gateway")],
            ServerProcess(folder / "data", settings | {"server.node_id": 4}, "control", admin="127.0.0.1:0"),
        )

    @property
    def all(self) -> list[ServerProcess]:
        return [self.im, *self.gateways, self.control]

    def start(self) -> None:
        self.nats.start()
        self.control.start()
        for process in (self.im, *self.gateways):
            process.start(wait=False)
        for process in (self.im, *self.gateways):
            process.wait_ready()
        self.control.wait_for(lambda: len(self.lbs("x")) == 2, "two gateways in LBS")

    def stop(self) -> None:
        for process in self.all:
            process.stop()
        self.nats.kill()

    def lbs(self, user: str) -> list[int]:
        status, body = self.control.get(f"/v1/lbs?user={user}")
        return [entry["port"] for entry in json.loads(body)["gateways"]] if status == 200 else []

    def routes(self) -> dict[str, Any]:
        """What `qianwan routes check` is told."""
        request = urllib.request.Request(
            f"{self.control.admin_url}/routes", headers={"X-API-Key": self.control.first_api_key()}
        )
        with urllib.request.urlopen(request, timeout=20) as answer:
            found: dict[str, Any] = json.load(answer)
            return found

    def client(self, user: str, gateway: int, device: str = "d", **settings: Any) -> qianwan.Client:
        """A client on one gateway, whatever LBS says."""
        root = json.loads(self.control.get("/v1/lbs")[1])["root"]
        host, port = self.gateways[gateway].gateway
        return qianwan.Client(
            f"{host}:{port}", token=self.control.token(user), root_key=root, device_id=device, **settings
        )


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    made = Cluster.make(tmp_path, NatsProcess(tmp_path))
    try:
        made.start()
        yield made
    except BaseException:
        for process in made.all:
            print(f"--- {process.roles} {process.http_port}\n{process.tail(30)}")
        raise
    finally:
        made.stop()


async def texts(client: qianwan.Client, count: int) -> list[str]:
    found = []
    async with asyncio.timeout(20):
        async for message in client.messages():
            found.append(message.text)
            if len(found) == count:
                break
    return found


async def room_texts(room: qianwan.Room, count: int) -> list[str]:
    found: list[str] = []
    async with asyncio.timeout(20):
        async for message in room:
            found.append(message.text)
            if len(found) == count:
                break
    return found


async def test_users_and_rooms_span_gateways_and_survive_deaths(cluster: Cluster) -> None:
    async with cluster.client("alice", 0) as alice, cluster.client("bob", 1) as bob:
        for number in range(100):
            await alice.send("bob", f"m{number}")
        assert await texts(bob, 100) == [f"m{number}" for number in range(100)]

        await asyncio.to_thread(cluster.control.room, "hall")
        stage, hall = await alice.join_room("hall"), await bob.join_room("hall")
        for number in range(10):
            await stage.send(f"r{number}")
        assert await room_texts(hall, 10) == [f"r{number}" for number in range(10)]

        def topics() -> float:
            return sum(gateway.metrics()["qianwan_node_topics"] for gateway in cluster.gateways)

        assert topics() >= 4, "u/alice, u/bob, and r/hall on both gateways"
        await asyncio.to_thread(
            cluster.im.wait_for, lambda: cluster.im.metrics()["qianwan_routes"] == topics(), "same topics"
        )

        # The control process has no message service of its own: it asks one over the bus.
        body = {"sender": "shop", "target": "u/bob", "body": {"text": "from the app"}}
        status, answer = await asyncio.to_thread(cluster.control.post, "/v1/messages", body)
        assert (status, answer["seq"]) == (200, 1)
        assert await texts(bob, 1) == ["from the app"]
        status, answer = await asyncio.to_thread(
            cluster.control.post, "/v1/messages", {**body, "target": "x"}
        )
        assert (status, answer["code"]) == (422, 414)
        await asyncio.to_thread(cluster.control.post, "/v1/messages", {**body, "target": "u/absent"})
        edit = {"conversation": "s/absent:shop", "seq": 1, "body": {"text": "edited"}}
        status, answer = await asyncio.to_thread(cluster.control.post, "/v1/messages/edit", edit)
        assert (status, answer["version"]) == (200, 1)

        # The im process dies: connections stay, sends wait, and what it committed arrives.
        await asyncio.to_thread(cluster.im.kill)
        pending = asyncio.create_task(alice.send("bob", "while away"))
        await asyncio.to_thread(
            cluster.control.wait_for,
            lambda: b"no live im process" in cluster.control.get("/readyz")[1],
            "a control process without an im process is not ready",
        )
        await asyncio.to_thread(cluster.im.start)
        await pending
        assert await texts(bob, 1) == ["while away"]
        assert alice.state is qianwan.State.ONLINE

    for gateway in cluster.gateways:
        await asyncio.to_thread(
            gateway.wait_for, lambda g=gateway: g.metrics()["qianwan_node_sessions"] == 0, "sessions closed"
        )
    await asyncio.to_thread(
        cluster.im.wait_for, lambda: cluster.im.metrics()["qianwan_routes"] == 0, "routes withdrawn"
    )

    # A gateway dies: LBS forgets it, its routes go.
    async with cluster.client("carol", 1):
        await asyncio.to_thread(
            cluster.im.wait_for, lambda: cluster.im.metrics()["qianwan_routes"] >= 1, "carol routed"
        )
        await asyncio.to_thread(cluster.gateways[1].kill)
        await asyncio.to_thread(
            cluster.control.wait_for,
            lambda: cluster.lbs("x") == [cluster.gateways[0].gateway_port],
            "one gateway",
        )
        await asyncio.to_thread(
            cluster.im.wait_for, lambda: cluster.im.metrics()["qianwan_routes"] == 0, "routes expired"
        )


async def test_a_route_that_is_broken_is_told_and_healed(cluster: Cluster) -> None:
    """Somebody says in the name of a gateway that a user is gone: nothing in the stream shows it."""
    latest: dict[int, Envelope] = {}

    def hear(data: bytes) -> None:
        envelope = decode_envelope(data)
        if envelope.kind == Kind.BATCH:
            latest[envelope.sender] = envelope

    bus = NatsBus(SecretUrl(cluster.nats.url))
    await bus.start()
    await bus.subscribe("stream.1", hear)
    async with cluster.client("alice", 0) as alice, cluster.client("bob", 1) as bob:
        await alice.send("bob", "before")
        assert await texts(bob, 1) == ["before"]

        def counted() -> bool:
            found = cluster.routes()
            pairs = {(pair["gateway"], pair["im"], pair["topics"], pair["routes"]) for pair in found["pairs"]}
            sessions = [(each["open"], each["registered"]) for each in found["gateways"]]
            return found["equal"] and pairs == {(2, 1, 1, 1), (3, 1, 1, 1)} and sessions == [(1, 1), (1, 1)]

        await asyncio.to_thread(cluster.control.wait_for, counted, "all equal")

        def differences() -> float:
            return cluster.im.metrics()["qianwan_route_differences_total"]

        while not await asyncio.to_thread(differences):
            # The gateway's next batch has this number too and is not heard; the one after it is.
            payload = msgspec.msgpack.encode(Up([Withdraw(["u/bob"])]))
            forged = msgspec.structs.replace(latest[3], number=latest[3].number + 1, payload=payload)
            bus.publish("stream.1", msgspec.msgpack.encode(forged))
            for _ in range(100):
                if await asyncio.to_thread(differences):
                    break
                await asyncio.sleep(0.2)
        await asyncio.to_thread(cluster.control.wait_for, counted, "healed")
        words = (
            "routes",
            "check",
            "--url",
            cluster.control.admin_url,
            "--data-dir",
            str(cluster.folder / "data"),
        )
        checked = await asyncio.to_thread(program, *words, "--api-key", cluster.control.first_api_key())
        assert (checked.returncode, "equal on every pair" in checked.stdout) == (0, True), checked.stderr
        await alice.send("bob", "after")
        assert await texts(bob, 1) == ["after"]
        assert bob.state is qianwan.State.ONLINE
    await bus.close()


async def test_the_bus_away_drops_no_connection_and_loses_no_message(cluster: Cluster) -> None:
    async with cluster.client("alice", 0) as alice, cluster.client("bob", 1) as bob:
        await alice.send("bob", "before")
        assert await texts(bob, 1) == ["before"]
        await asyncio.to_thread(cluster.nats.kill)
        pending = asyncio.create_task(alice.send("bob", "during"))
        await asyncio.to_thread(
            cluster.gateways[0].wait_for, lambda: cluster.gateways[0].get("/readyz")[0] == 503, "not ready"
        )
        assert cluster.gateways[0].get("/livez")[0] == 200
        await asyncio.to_thread(cluster.nats.start)
        await pending
        assert await texts(bob, 1) == ["during"]
        assert (alice.state, bob.state) == (qianwan.State.ONLINE, qianwan.State.ONLINE)
        for gateway in cluster.gateways:
            assert gateway.metrics()["qianwan_gateway_accepted_total"] >= 1


async def test_a_gateway_tells_which_store_is_behind_the_im_processes(cluster: Cluster) -> None:
    told, root = [], root_of(cluster.control)
    for gateway in cluster.gateways:
        link = await PlainLink.open(gateway, cluster.control.token("ann"), f"d{gateway.pid}", root)
        told.append(link.welcome.incarnation)
        link.close()
    kept = json.loads((cluster.im.data_dir / "store.seen").read_bytes())
    assert told == [bytes.fromhex(kept["incarnation"])] * 2


def sessions(cluster: Cluster) -> list[int]:
    """At each gateway, where all that is routed is as it should be."""
    found = cluster.routes()
    assert all(each["open"] == each["registered"] for each in found["gateways"]) or not found["equal"]
    return [each["open"] for each in found["gateways"]] if found["equal"] else []


async def test_a_session_is_taken_up_at_another_gateway_with_what_it_missed(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resumption, "SILENT", 1_000_000)  # each try has the ticket
    ways = [FaultyProxy(*gateway.gateway, random.Random(1)) for gateway in cluster.gateways]
    root = json.loads(cluster.control.get("/v1/lbs")[1])["root"]
    async with ways[0], ways[1], cluster.client("bob", 1) as bob:
        where = [way.address for way in ways]
        token = cluster.control.token("ann")
        ways[1].refusing = True
        fast = qianwan.Backoff(base_s=0.05, cap_s=0.2, settled_s=0.0)
        async with qianwan.Client(where, token=token, root_key=root, device_id="d", backoff=fast) as ann:
            await bob.send("ann", "one")
            assert await texts(ann, 1) == ["one"]
            supervisor = ann._engine._supervisor
            await until(lambda: supervisor.link is not None and supervisor.link.ticket is not None)
            ways[0].refusing = True
            ways[0].cut()
            await until(lambda: cluster.gateways[0].metrics()["qianwan_gateway_parked"] == 1)
            await until(lambda: sessions(cluster) == [1, 1])
            await bob.send("ann", "two")
            await bob.send("ann", "three")
            ways[1].refusing = False
            assert await texts(ann, 2) == ["two", "three"]
            assert (await ann.send("bob", "four")).seq == 4
            assert await texts(bob, 1) == ["four"]
            assert supervisor.resumption.resumed == 1
            assert cluster.gateways[1].metrics()["qianwan_gateway_resume_elsewhere_total"] == 0
            await until(lambda: cluster.gateways[0].metrics()["qianwan_gateway_parked"] == 0)
            await until(lambda: sessions(cluster) == [0, 2])


async def test_a_session_that_moves_while_it_is_written_to_misses_nothing(cluster: Cluster) -> None:
    ways = [FaultyProxy(*gateway.gateway, random.Random(1)) for gateway in cluster.gateways]
    root = json.loads(cluster.control.get("/v1/lbs")[1])["root"]
    async with ways[0], ways[1], cluster.client("bob", 1) as bob:
        where, token = [way.address for way in ways], cluster.control.token("ann")
        fast = qianwan.Backoff(base_s=0.01, cap_s=0.05, settled_s=0.0)
        ways[1].refusing = True
        async with qianwan.Client(where, token=token, root_key=root, device_id="d", backoff=fast) as ann:
            supervisor, said, over = ann._engine._supervisor, 0, False

            async def talk() -> None:
                nonlocal said
                while not over:
                    await bob.send("ann", str(said))
                    said += 1

            talking = asyncio.create_task(talk())
            for move in range(8):
                await until(lambda: supervisor.link is not None and supervisor.link.ticket is not None)
                moved = supervisor.resumption.resumed
                ways[move % 2].refusing, ways[1 - move % 2].refusing = True, False
                ways[move % 2].cut()
                await until(lambda moved=moved: supervisor.resumption.resumed > moved)
            over = True
            await talking
            assert sorted(map(int, await texts(ann, said))) == list(range(said))
