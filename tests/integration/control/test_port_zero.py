"""Port 0 is a port that the kernel chooses: everybody is told the one that is bound."""

from __future__ import annotations

import json
import socket
from pathlib import Path

import qianwan

from control.process.data_folder import holder
from tests.support.chat_world import root_of
from tests.support.nats_process import NatsProcess
from tests.support.server_process import ServerProcess, program

ANY = "127.0.0.1:0"


def started(server: ServerProcess) -> dict[str, str]:
    """Start it with ports 0; where it listens, as its data folder says."""
    server.http_port = server.gateway_port = 0
    server.start(wait=False)
    found: dict[str, str] = {}

    def told() -> bool:
        running = holder(server.data_dir)
        found.update(running.addresses if running else {})
        return bool(found)

    server.wait_for(told, "told")
    return found


async def test_the_port_that_is_bound_is_logged_written_announced_and_shown(tmp_path: Path) -> None:
    server = ServerProcess(tmp_path / "data", admin=ANY)
    try:
        addresses = started(server)
        line = server.logged("started")
        server.http_port, server.gateway_port = (int(addresses[n].split(":")[1]) for n in ("http", "listen"))
        assert 0 not in (server.http_port, server.gateway_port)
        assert {name: line[name] for name in ("http", "admin", "listen")} == addresses
        assert [one["port"] for one in json.loads(server.get("/v1/lbs")[1])["gateways"]] == [
            server.gateway_port
        ]
        async with qianwan.Client(server.url, token=server.token("ann")) as ann:
            assert (await ann.send("ben", "hello")).seq == 1
        shown = program(
            "doctor", "--data-dir", str(server.data_dir), "--json",
            QIANWAN_CONTROL__HTTP=ANY,
            QIANWAN_GATEWAY__LISTEN=ANY,
            QIANWAN_CONTROL__ADMIN=ANY,
        )  # fmt: skip
        found = {item["check"]: item["found"] for item in json.loads(shown.stdout)}
        assert found["HTTP port"] == f"{addresses['http']}: bound"
        assert found["admin port"] == f"{addresses['admin']}: bound"
        assert found["client port"] == f"{addresses['listen']}: bound"
    finally:
        server.stop()


def test_other_processes_are_told_too(tmp_path: Path) -> None:
    """A control process answers with the port of a gateway elsewhere."""
    with NatsProcess(tmp_path) as nats:
        settings = {"bus.kind": "nats", "bus.nats_url": nats.url}
        with ServerProcess(tmp_path / "data", settings, "control,im") as control:
            gateway = ServerProcess(tmp_path / "data", settings | {"server.node_id": 2}, "gateway")
            gateway.http_port = gateway.gateway_port = 0
            gateway.start(wait=False)
            try:
                control.wait_for(lambda: control.get("/v1/lbs")[0] == 200, "a gateway")
                (told,) = json.loads(control.get("/v1/lbs")[1])["gateways"]
                assert root_of(control)
                with socket.create_connection((told["host"], told["port"]), 5):
                    pass
            finally:
                gateway.stop()
