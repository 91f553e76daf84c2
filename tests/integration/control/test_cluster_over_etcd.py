"""Processes joined by a real NATS server and three etcd members, each with a data folder of its own: nobody
types a node id or copies a key, and etcd may go.
"""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import signal
import subprocess
import sys
import time
from base64 import b64decode
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import qianwan

from control.errors import StartError
from control.process.run import refuse_foreign_root
from control.settings.build import build
from tests.support.chat_world import EAGER, root_of
from tests.support.etcd_cluster import EtcdCluster
from tests.support.nats_process import NatsProcess
from tests.support.policy_phones import NAT_S, Phones
from tests.support.sdk_client import until
from tests.support.server_process import ROOT, ServerProcess

TTL_S = 3


class OverEtcd:
    """Two gateways, two im processes on one store, a control process."""

    def __init__(self, folder: Path) -> None:
        self.nats = NatsProcess(folder)
        self.etcd = EtcdCluster(folder / "etcd", size=3)
        self.folder = folder
        # What a killed run left behind may know these ports.
        self.prefix = f"t{secrets.token_hex(4)}/"

    def process(self, roles: str, folder: str, **more: object) -> ServerProcess:
        settings = {
            "auth.keys_secret": "of this test, and of nothing else" if roles != "im" else "",
            "bus.kind": "nats",
            "bus.nats_url": self.nats.url,
            "bus.beacon_s": 0.2,
            "bus.dead_after_s": 1.5,
            "etcd.endpoints": json.dumps(list(self.etcd.endpoints)),
            "etcd.ttl_s": TTL_S,
            "etcd.prefix": self.prefix,
            "control.policy.look_s": 0.25,
            "gateway.core.ip_accepts_per_s": 0,
            "gateway.overload.wait_ms": [0, 0, 0, 0, 0],  # a machine that does other tests is no overload
        }
        admin = "127.0.0.1:0" if roles == "control" else ""
        return ServerProcess(self.folder / folder, settings | more, roles, admin=admin)

    def start(self) -> None:
        self.control = self.process("control", "control")
        self.ims = [self.process("im", "store") for _ in range(2)]
        self.gateways = [self.process("gateway", f"gateway-{n}") for n in range(2)]
        self.all = [self.control, *self.ims, *self.gateways]
        self.control.start()
        for process in self.all[1:]:
            process.start(wait=False)
        for process in self.all[1:]:
            process.wait_ready()

    def stop(self) -> None:
        for process in reversed(self.all):
            process.stop()

    def client(self, user: str, gateway: int, device: str = "phone") -> qianwan.Client:
        host, port = self.gateways[gateway].gateway

        async def token() -> str:
            return await asyncio.to_thread(self.control.token, user)

        return qianwan.Client(
            f"{host}:{port}", token=token, root_key=root_of(self.control), device_id=device, backoff=EAGER
        )

    def placed(self) -> set[int]:
        """Ports that LBS hands out."""
        found: set[int] = set()
        for number in range(8):
            status, body = self.control.get(f"/v1/lbs?user=u{number}&device=d")
            found |= {each["port"] for each in json.loads(body)["gateways"]} if status == 200 else set()
        return found

    def ids(self) -> dict[int, str]:
        """node id -> name, as etcd lists them."""
        listed = self.etcd.control("get", "--prefix", f"{self.prefix}nodes/", "-w", "json")
        return dict(_nodes(listed))


def _nodes(listed: str) -> list[tuple[int, str]]:
    found = []
    for each in json.loads(listed).get("kvs", []):
        key = b64decode(each["key"]).decode()
        found.append((int(key.rpartition("/")[2]), json.loads(b64decode(each["value"]))["name"]))
    return found


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OverEtcd]:
    made = OverEtcd(tmp_path_factory.mktemp("over-etcd"))
    with made.nats, made.etcd:
        made.start()
        yield made
        made.stop()


async def heard(client: qianwan.Client, text: str) -> None:
    async with asyncio.timeout(20):
        async for message in client.messages():
            if message.text == text:
                return


async def test_node_ids_are_taken_and_people_talk(cluster: OverEtcd) -> None:
    assert sorted(cluster.ids()) == [1, 2, 3, 4, 5]
    async with cluster.client("alice", 0) as alice, cluster.client("bob", 1) as bob:
        await alice.send("bob", "across")
        await heard(bob, "across")


async def test_etcd_away_drops_nobody_and_stops_neither_logins_nor_messages(cluster: OverEtcd) -> None:
    made = asked(cluster.control, "POST", "/api-keys", {"name": "eyes", "roles": ["viewer"]})[1]
    async with cluster.client("carl", 0) as carl, cluster.client("dora", 1) as dora:
        node = dora.node
        for member in cluster.etcd.members:
            member.freeze()
        frozen = time.monotonic()
        try:
            leases = "qianwan_etcd_lease_left_seconds"
            await asyncio.to_thread(
                cluster.gateways[1].wait_for,
                lambda: cluster.gateways[1].metrics()[leases] == 0.0,
                "the lease is over by the gateway's own clock",
            )
            assert time.monotonic() - frozen < TTL_S + 2
            await carl.send("dora", "etcd is away")
            await heard(dora, "etcd is away")
            async with cluster.client("erin", 1) as erin:
                await erin.send("carl", "a login meanwhile")
                await heard(carl, "a login meanwhile")
            refusals = await asyncio.gather(
                asyncio.to_thread(cluster.control.post, "/v1/tokens/revoke", {"user": "zoe"}),
                asyncio.to_thread(asked, cluster.control, "DELETE", f"/api-keys/{made['id']}"),
            )
            assert [(status, answer["type"]) for status, answer in refusals] == [
                (503, "urn:qianwan:problem:unavailable"), (503, "urn:qianwan:problem:documents-unavailable"),
            ]  # fmt: skip
            assert asked(cluster.control, "GET", "/self", key=str(made["text"]))[0] == 200
            for path in ("/nodes", "/storm/cluster", "/settings/live", "/traces"):
                assert asked(cluster.control, "GET", path)[0] == 200, path
            assert all(process.get("/readyz")[0] == 200 for process in cluster.all)
            assert cluster.placed() == {gateway.gateway_port for gateway in cluster.gateways}
        finally:
            for member in cluster.etcd.members:
                member.go_on()
        back = time.monotonic()
        await until(lambda: all(process.metrics()[leases] > 0 for process in cluster.all), timeout_s=60)
        assert time.monotonic() - back < 15
        assert sorted(cluster.ids()) == [1, 2, 3, 4, 5]
        assert (dora.node, dora.state) == (node, qianwan.State.ONLINE)
        await until(lambda: _revokes(cluster), timeout_s=10)
        await carl.send("dora", "etcd is back")
        await heard(dora, "etcd is back")


async def test_a_key_made_at_one_control_process_opens_and_ends_at_every_other(cluster: OverEtcd) -> None:
    other = cluster.process("control", "control-2")
    await asyncio.to_thread(other.start)
    made = asked(cluster.control, "POST", "/api-keys", {"name": "eyes", "roles": ["viewer"]})[1]
    text = str(made["text"])
    await until(lambda: asked(other, "GET", "/self", key=text)[0] == 200, timeout_s=5)
    assert asked(other, "DELETE", f"/api-keys/{made['id']}")[0] == 200
    await until(lambda: asked(cluster.control, "GET", "/self", key=text)[0] == 401, timeout_s=5)
    other.stop()


def asked(
    control: ServerProcess, method: str, path: str, body: object = None, key: str = ""
) -> tuple[int, dict[str, object]]:
    headers = {"X-API-Key": key or control.first_api_key()}
    answer = httpx.request(method, control.admin_url + path, json=body, headers=headers, timeout=30)
    return answer.status_code, answer.json()


def _revokes(cluster: OverEtcd) -> bool:
    return cluster.control.post("/v1/tokens/revoke", {"user": "zoe"})[0] == 200


async def test_a_gateway_that_stood_still_past_its_lease_keeps_its_clients(cluster: OverEtcd) -> None:
    async with cluster.client("fred", 0) as fred, cluster.client("gina", 1) as gina:
        gateway = cluster.gateways[1]
        os.kill(gateway.pid, signal.SIGSTOP)
        try:
            await until(lambda: len(cluster.ids()) == 4, timeout_s=60)
            await fred.send("gina", "while you stand still")
        finally:
            os.kill(gateway.pid, signal.SIGCONT)
        await until(lambda: len(cluster.ids()) == 5, timeout_s=60)
        await heard(gina, "while you stand still")
        await until(lambda: gateway.gateway_port in cluster.placed(), timeout_s=60)
        await fred.send("gina", "and now")
        await heard(gina, "and now")


def test_a_canary_at_two_gateways_is_taken_back_though_one_stands_still(cluster: OverEtcd) -> None:
    phones = Phones(cluster.control, cluster.control.first_api_key(), 48, cluster.gateways)
    phones.publish(240.0, 100.0)
    phones.beat_until(lambda: all(phone.interval_s == 240 for phone in phones.all))
    for still in (None, cluster.gateways[1]):
        phones.publish(900.0, 25.0)
        phones.beat_until(lambda: all(any(one.interval_s > NAT_S for one in here) for here in phones.at))
        if still is not None:
            os.kill(still.pid, signal.SIGSTOP)
        try:
            awake = phones.all if still is None else phones.at[0]
            assert phones.until_taken_back(awake, within_s=30.0) < 30
        finally:
            if still is not None:
                os.kill(still.pid, signal.SIGCONT)
        phones.beat_until(lambda: all(phone.interval_s == 240 for phone in phones.all))
        assert not any(phone.gone for phone in phones.all), "a connection was dropped"
    assert phones.acts_of_the_guard() == ["policies.rollback"] * 2
    for phone in phones.all:
        phone.client.close()


async def test_who_finds_its_node_id_taken_leaves_and_comes_back_with_another(cluster: OverEtcd) -> None:
    """By an operator's hand: the number goes to a process that nobody knows."""
    spare = cluster.process("gateway", "spare", **{"server.node_name": "spare", "server.drain_timeout_s": 1})
    await asyncio.to_thread(spare.start)
    (number,) = [node_id for node_id, name in cluster.ids().items() if name == "spare"]
    os.kill(spare.pid, signal.SIGSTOP)
    await until(lambda: number not in cluster.ids(), timeout_s=60)
    other = json.dumps({"name": "other", "mark": "f" * 16, "epoch": 0})
    cluster.etcd.control("put", f"{cluster.prefix}nodes/{number}", other)
    cluster.etcd.control("put", f"{cluster.prefix}ids/{number}", other)
    os.kill(spare.pid, signal.SIGCONT)
    assert spare.process is not None
    assert await asyncio.to_thread(spare.process.wait, 30) == 4
    assert f"node id {number} was taken by other" in spare.log() or "taken" in spare.log()
    cluster.etcd.control("del", f"{cluster.prefix}nodes/{number}")
    await asyncio.to_thread(spare.start)
    assert [name for name in cluster.ids().values() if name == "spare"] == ["spare"]
    spare.stop()


async def test_keys_rotate_everywhere_without_one_failed_login(cluster: OverEtcd) -> None:
    """By a command on the folder of control; gateways have folders of their own."""
    first = kid_of(await asyncio.to_thread(cluster.control.token, "hans"))
    rotated, logins = False, 0
    async with asyncio.timeout(90):
        while kid_of(await asyncio.to_thread(cluster.control.token, "hans")) == first:
            for gateway in (0, 1):
                async with cluster.client("hans", gateway) as hans:
                    await hans.call("time")
                logins += 1
            if not rotated:
                rotated = True
                for kind in ("token", "server"):
                    await asyncio.to_thread(rotate, cluster.control, kind)
    for gateway in (0, 1):
        async with cluster.client("hans", gateway) as hans:
            await hans.call("time")
    assert logins > 4
    names = {
        tuple(
            sorted(
                path.name
                for path in (process.data_dir / "keys").glob("*-*.json")
                if path.name != "api-keys.json"
            )
        )
        for process in (cluster.control, *cluster.gateways)
    }
    assert len(names) == 1
    refused = sum(
        value
        for gateway in cluster.gateways
        for name, value in gateway.metrics().items()
        if name.startswith("qianwan_node_logins_refused")
    )
    assert refused == 0


def kid_of(token: str) -> str:
    header = token.partition(".")[0]
    return str(json.loads(b64decode(header + "=" * (-len(header) % 4)))["kid"])


def rotate(control: ServerProcess, kind: str) -> None:
    command = [sys.executable, "-m", "program", "keys", "rotate", kind, "--data-dir", str(control.data_dir)]
    subprocess.run(command, cwd=ROOT, capture_output=True, check=True)


async def test_keys_that_etcd_lost_come_back_and_a_new_machine_begins_with_them(cluster: OverEtcd) -> None:
    key = f"{cluster.prefix}documents/keys/folder"
    for _ in range(2):
        cluster.etcd.control("del", key)
        await until(lambda: cluster.etcd.control("get", "--keys-only", key).strip() == key)
    fresh = cluster.process("gateway", "fresh")
    await asyncio.to_thread(fresh.start)
    roots = [(each.data_dir / "keys" / "root.json").read_bytes() for each in (fresh, cluster.control)]
    assert roots[0] == roots[1]
    await asyncio.to_thread(fresh.stop)


async def test_nobody_gives_a_living_cluster_a_root_of_its_own(cluster: OverEtcd) -> None:
    settings = build({"bus": {"kind": "nats", "nats_url": cluster.nats.url}})
    await refuse_foreign_root(settings, root_of(cluster.control))
    with pytest.raises(StartError, match="it shares them again"):
        await refuse_foreign_root(settings, "")
    with pytest.raises(StartError, match="not that of this cluster"):
        await refuse_foreign_root(settings, "0" * 64)


def test_the_doctor_asks_etcd_what_a_start_would_meet(cluster: OverEtcd) -> None:
    fresh = cluster.process("gateway", "not there yet")
    found = doctor(fresh)
    assert found["etcd"]["level"] == found["keys of the cluster"]["level"] == "green", found
    assert "root key" not in found, "its keys come"
    assert not (fresh.data_dir / "keys").exists()
    stranger = doctor(cluster.process("gateway", "stranger", **{"auth.keys_secret": "x" * 32}))
    assert stranger["keys of the cluster"]["level"] == "red"
    assert "auth.keys_secret" in stranger["keys of the cluster"]["found"]
    away = doctor(cluster.process("gateway", "away", **{"etcd.endpoints": '["127.0.0.1:1"]'}))
    assert away["etcd"]["level"] == "red"


def doctor(process: ServerProcess) -> dict[str, dict[str, str]]:
    command = [sys.executable, "-m", "program", "doctor", "--json", "--data-dir", str(process.data_dir)]
    environment = process.environment() | {"QIANWAN_SERVER__ROLES": json.dumps([process.roles])}
    shown = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert shown.stdout, shown.stderr
    return {item["check"]: item for item in json.loads(shown.stdout)}


def test_a_typed_node_id_and_an_etcd_that_is_not_there_are_told(cluster: OverEtcd, tmp_path: Path) -> None:
    typed = cluster.process("gateway", "typed", **{"server.node_id": 3})
    typed.start(wait=False)
    assert typed.process is not None
    assert typed.process.wait(60) == 2
    assert "leave it out" in typed.log() + typed.out_file.read_text()
    away = ServerProcess(tmp_path, {"etcd.endpoints": '["127.0.0.1:1"]'})
    away.start(wait=False)
    assert away.process is not None
    assert away.process.wait(60) == 3
    assert "127.0.0.1:1" in away.log() + away.out_file.read_text()
