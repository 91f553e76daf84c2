"""What a process pays for etcd: nothing without it, and a client of its own behind each fork."""

from __future__ import annotations

import json
import re
import subprocess
import sys

import pytest

from control.coordination.etcd.documents import EtcdDocuments
from control.coordination.identity import take_identity
from control.errors import StartError
from control.metrics import Sources, make_registry
from control.settings import Settings
from tests.support.etcd_cluster import EtcdCluster
from tests.support.sdk_client import until
from tests.support.tree import ROOT

NOTHING = """
import sys
from control.coordination.etcd.client import EtcdClient
from control.coordination.etcd.documents import EtcdDocuments
from control.coordination.etcd.registration import Registration
from control.process.wiring import build_process
from control.settings.build import build
client = EtcdClient(build({"etcd": {"endpoints": ["127.0.0.1:1"]}}).etcd)
made = EtcdDocuments(client), Registration(client, "a")
assert not [name for name in sys.modules if name.split(".")[0] in ("grpc", "google")], "loaded"
"""
FORKS = r"""
import asyncio, json, os, sys
import uvloop
from control.coordination.etcd.client import EtcdClient
from control.coordination.etcd.documents import EtcdDocuments
from control.coordination.etcd.registration import Registration
from control.settings.build import build

client = EtcdClient(build({"etcd": json.loads(sys.argv[1])}).etcd)
documents, registration = EtcdDocuments(client), Registration(client, "worker")

async def work(n):
    await registration.start()
    put = await documents.put(f"w{n}", b"1")
    async with asyncio.timeout(10):
        assert (await anext(documents.watch(f"w{n}", put.revision - 1))).revision == put.revision
    os.write(1, b"own=%d\n" % registration.own[0])
    await asyncio.sleep(1)  # the others take theirs
    await registration.stop()
    await client.close()

children = []
for n in range(3):
    pid = os.fork()
    if pid == 0:
        try:
            uvloop.run(work(n))
        except BaseException as error:
            print(repr(error), flush=True)
            os._exit(1)
        os._exit(0)
    children.append(pid)
sys.exit(any(os.waitpid(pid, 0)[1] for pid in children))
"""


def run(text: str, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", text, *words],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_a_process_without_etcd_never_loads_grpc() -> None:
    done = run(NOTHING)
    assert done.returncode == 0, done.stderr


def test_workers_that_are_forked_have_clients_and_ids_of_their_own(etcd: EtcdCluster, prefix: str) -> None:
    done = run(FORKS, json.dumps({"endpoints": etcd.endpoints, "ttl_s": 10, "prefix": prefix}))
    assert done.returncode == 0, (done.stdout, done.stderr)
    assert sorted(re.findall(r"own=(\d+)", done.stdout)) == ["1", "2", "3"]
    assert not done.stderr, "gRPC is silent"


async def test_what_is_wrong_is_told_to_health_and_metrics(etcd: EtcdCluster, prefix: str) -> None:
    with pytest.raises(StartError, match="refused"):
        await take_identity(Settings(etcd=etcd.section(endpoints=("127.0.0.1:1",))))
    settings, identity = await take_identity(Settings(etcd=etcd.section(prefix=prefix)))
    assert settings.server.node_id == identity.own[0] == 1
    assert identity.etcd is not None
    registry = make_registry(Sources("a", ("im",), identity.sources()))
    documents, own = EtcdDocuments(identity.etcd.client), identity.etcd.registration.checks()["node_id"]
    assert (documents.problem(), own()) == (None, None)
    assert registry.get_sample_value("qianwan_etcd_up") == 1
    assert (registry.get_sample_value("qianwan_etcd_lease_left_seconds") or 0) > 1
    assert (registry.get_sample_value("qianwan_etcd_requests_total") or 0) >= 3
    etcd.members[0].freeze()
    try:
        await until(lambda: documents.problem() and own(), 20)
        assert registry.get_sample_value("qianwan_etcd_up") == 0
        assert registry.get_sample_value("qianwan_etcd_lease_left_seconds") == 0
    finally:
        etcd.members[0].go_on()
    await until(lambda: not documents.problem() and not own(), 20)
    await identity.stop()
