"""A server whose gateway is many forked workers: NATS, one im+control process, one supervisor."""

from __future__ import annotations

import json
import os
import signal
from dataclasses import dataclass
from pathlib import Path

import qianwan

from benchmarks.ports import row_of_ports
from tests.support.nats_process import NatsProcess
from tests.support.sdk_client import FAST as EAGER
from tests.support.server_process import ServerProcess, free_ports

FAST = {"bus.kind": "nats", "bus.beacon_s": 0.2, "bus.dead_after_s": 1.5, "bus.sync_spread_s": 0.5}
FIRST_NODE = 10


@dataclass
class WorkerFarm:
    """`gateway` is the supervisor; worker i (from 0) listens on its port + i."""

    nats: NatsProcess
    im: ServerProcess
    gateway: ServerProcess
    workers: int

    @classmethod
    def make(cls, folder: Path, workers: int = 3) -> WorkerFarm:
        nats = NatsProcess(folder)
        settings = FAST | {"bus.nats_url": nats.url}
        im = ServerProcess(folder / "data", settings | {"server.node_id": 1}, "im,control")
        gateway = ServerProcess(
            folder / "data",
            settings
            | {"server.node_id": FIRST_NODE, "server.drain_spread_s": 0.2, "server.drain_timeout_s": 5.0},
            "gateway",
            http_port=free_ports(1)[0],
            gateway_port=row_of_ports(workers),
            arguments=("--processes", str(workers)),
        )
        return cls(nats, im, gateway, workers)

    def start(self) -> None:
        self.nats.start()
        self.im.start()
        self.gateway.start()
        self.im.wait_for(lambda: len(self.nodes()) == self.workers, "all workers in LBS")

    def stop(self) -> None:
        self.gateway.stop()
        self.im.stop()
        self.nats.kill()

    def nodes(self) -> set[int]:
        """Ports that LBS has named in a few answers."""
        found: set[int] = set()
        for user in range(8):
            status, body = self.im.get(f"/v1/lbs?user=u{user}")
            if status == 200:
                found |= {entry["port"] for entry in json.loads(body)["gateways"]}
        return found

    def client(self, user: str, worker: int) -> qianwan.Client:
        root = json.loads(self.im.get("/v1/lbs")[1])["root"]
        return qianwan.Client(
            f"127.0.0.1:{self.gateway.gateway_port + worker}",
            token=self.im.token(user),
            root_key=root,
            device_id="d",
            backoff=EAGER,
        )

    def pid(self, name: str) -> int:
        """The last pid of a child, as the supervisor's log tells it."""
        pids = [
            entry["pid"]
            for entry in map(json.loads, self.gateway.log().splitlines())
            if entry.get("event") == "child started" and entry["child"] == name
        ]
        return int(pids[-1])

    def kill(self, worker: int) -> int:
        """kill -9 of one worker; returns the pid it had."""
        pid = self.pid(f"node-{FIRST_NODE + worker}")
        os.kill(pid, signal.SIGKILL)
        return pid
