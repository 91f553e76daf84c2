"""Two im processes, a gateway and a control process over one bus, and connections to them."""

from __future__ import annotations

import asyncio
import json
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support.chat_link import PlainLink
from tests.support.chat_world import root_of
from tests.support.nats_process import NatsProcess
from tests.support.server_process import ServerProcess

IMS, SPARE = ("1", "5"), "9"
ADMIN = "/v1/admin"


@dataclass
class Cluster:
    gateway: ServerProcess
    control: ServerProcess
    ims: dict[str, ServerProcess]
    spare: ServerProcess  # an im process that was not started

    async def link(self, user: str, device: str = "phone") -> PlainLink:
        token = await asyncio.to_thread(self.control.token, user)
        return await PlainLink.open(self.gateway, token, device, root_of(self.control))

    def ask(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        """(status, answer) of a request of the app's server; of an operator's below /v1/admin."""
        if method == "POST" and not path.startswith(ADMIN):
            return self.control.post(path, body or {})
        headers = {"X-API-Key": self.control.first_api_key(), "Content-Type": "application/json"}
        there = path.startswith(ADMIN)
        url = self.control.admin_url + path.removeprefix(ADMIN) if there else self.control.url + path
        content = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(url, content, headers, method=method)
        with urllib.request.urlopen(request, timeout=20) as answer:
            return answer.status, json.load(answer)

    async def http(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        return await asyncio.to_thread(self.ask, method, path, body)

    async def room(self, name: str, **fields: Any) -> str:
        return await asyncio.to_thread(lambda: self.control.room(name, owner="own", **fields))


@contextmanager
def im_cluster(folder: Path, dead_after_s: float, **more: Any) -> Iterator[Cluster]:
    """Running, and everybody knows both im processes. `more`: settings, with __ for dots."""
    with NatsProcess(folder) as nats:
        given = {key.replace("__", "."): value for key, value in more.items()}
        fast = given | {
            "bus.kind": "nats", "bus.beacon_s": 0.2, "bus.dead_after_s": dead_after_s,
            "outgoing.networks": ["127.0.0.0/8"], "outgoing.plain_http": True,
        }  # fmt: skip

        def process(number: int, roles: str) -> ServerProcess:
            settings = fast | {"bus.nats_url": nats.url, "server.node_id": number}
            admin = "127.0.0.1:0" if roles == "control" else ""
            return ServerProcess(folder / "data", settings, roles, admin=admin)

        control, gateway = process(4, "control"), process(2, "gateway")
        ims, spare = {number: process(int(number), "im") for number in IMS}, process(int(SPARE), "im")
        everybody = [*ims.values(), spare, gateway, control]
        try:
            control.start()
            for each in (*ims.values(), gateway):
                each.start(wait=False)
            for each in (*ims.values(), gateway):
                each.wait_ready()
            control.wait_for(lambda: control.get("/v1/lbs?user=x")[0] == 200, "a gateway in LBS")
            for each in (control, gateway):
                each.wait_for(lambda e=each: knows(e, *IMS), "both im processes")
            yield Cluster(gateway, control, ims, spare)
        except BaseException:
            for each in everybody:
                print(f"--- {each.roles} {each.http_port}\n{each.tail(30)}")
            raise
        finally:
            for each in everybody:
                each.kill()


def knows(server: ServerProcess, *ims: str) -> bool:
    return all(f'"peer_id": {number}' in server.log() for number in ims)
