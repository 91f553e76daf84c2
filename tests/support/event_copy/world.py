"""Processes that make and carry the event copy, each of which can be killed, and who consumes it."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import time
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

from control.outbox.endpoints import PREFIX
from control.rendezvous import choose
from tests.support.event_copy.load import LIST, ROOM
from tests.support.event_copy.places import Consumer, Example, Kept, Pull, Stream, Topic
from tests.support.event_copy.truth import Truth, read_truth
from tests.support.kafka_process import KafkaProcess
from tests.support.nats_process import NatsProcess
from tests.support.server_process import ServerProcess

RECORDED = [
    "account", "broadcast", "moderation", "reaction", "receipt", "relation", "room", "session", "unkept"
]  # fmt: skip
FREE = {"per_s": 0}
SETTINGS = {
    "outgoing.networks": ["127.0.0.0/8"],
    "outgoing.plain_http": True,
    "im.service.copy.record": RECORDED,
    "im.service.group_consent": "free",
    "im.service.friend_consent": "free",
    "im.service.account_rate": FREE,
    "im.service.call_rate": FREE,
    "im.service.group_members": 5_000,
    "im.service.group_members_max": 5_000,
    "im.service.friends_max": 100_000,
    "limits.api_requests_per_s": 100_000,
    "gateway.core.ip_accepts_per_s": 0,
}
FAST = {"bus.kind": "nats", "bus.beacon_s": 0.5, "bus.dead_after_s": 3.0}
STOPPED_S = 15.0
PATIENCE_S = 300.0
LOOK_S = 0.2


class World:
    """Use through `world_of`. `servers`: their names and processes; with one it has all roles."""

    def __init__(self, folder: Path, dsn: str, ims: int) -> None:
        self.folder, self.dsn = folder, dsn
        self.nats = NatsProcess(folder, streams=True)
        self.webhook, self.pull, self.stream = Example(folder), Pull(folder), Stream(self.nats)
        self.kafka: KafkaProcess | None = None
        self.consumers: list[Consumer] = [self.webhook, self.pull, self.stream]
        self.servers: dict[str, ServerProcess] = {}
        store = {"store.kind": "postgres", "store.url": dsn} if dsn else {}
        if not ims:
            self.servers["server"] = ServerProcess(
                folder / "data", {**SETTINGS, **store}, admin="127.0.0.1:0"
            )
        for number, name in enumerate(
            ("control", "gateway", *(f"im-{n + 1}" for n in range(ims))) if ims else ()
        ):
            settings = {
                **SETTINGS,
                **store,
                **FAST,
                "bus.nats_url": self.nats.url,
                "server.node_id": number + 1,
            }
            role = name.partition("-")[0]
            admin = "127.0.0.1:0" if role == "control" else ""
            self.servers[name] = ServerProcess(folder / "data", settings, role, admin=admin)

    @property
    def control(self) -> ServerProcess:
        return self.servers.get("control") or self.servers["server"]

    @property
    def gateway(self) -> ServerProcess:
        return self.servers.get("gateway") or self.servers["server"]

    @property
    def ims(self) -> list[str]:
        return [name for name in self.servers if name.startswith("im-")] or ["server"]

    def owner(self, endpoint: str) -> str:
        """The im process that delivers to it when all of them live."""
        by_id = {str(self.servers[name].settings["server.node_id"]): name for name in self.ims}
        return by_id[str(choose(PREFIX + endpoint, by_id))]

    # -- life

    def start(self) -> None:
        self.control.start()
        others = [each for each in self.servers.values() if each is not self.control]
        for each in others:
            each.start(wait=False)
        for each in others:
            each.wait_ready()
        self.control.wait_for(lambda: self.control.get("/v1/lbs?user=x")[0] == 200, "a gateway in LBS")

    def stop(self) -> None:
        self.webhook.kill()
        self.pull.kill()
        for each in self.servers.values():
            each.kill()

    async def open(self, broker: KafkaProcess | None) -> None:
        """A room, a list that holds, the endpoints and the consumer group: nothing is committed before."""
        await self.stream.make()
        places = {"webhook": self.webhook.url, "jetstream": self.stream.url}
        if broker is not None:
            self.kafka, topic = broker, Topic(broker)
            places["kafka"] = topic.url
            self.consumers.append(topic)
        first = await self.http("GET", "/v1/events/cursor?at=first")
        await self.http("PUT", "/v1/events/groups/puller", {"cursor": first["cursor"], "revision": 0})
        for name, url in places.items():
            made = await self.admin("POST", "/endpoints", {"name": name, "url": url, "env": "*"})
            if name == "webhook":
                self.webhook.receive(made["secret"])
        self.pull.pull(self.control.url, self.control.first_api_key())
        await self.admin("PUT", "/moderation/lists/held", LIST)
        await self.http("POST", "/v1/rooms", {"room": ROOM, "history": False})

    # -- questions

    def _ask(self, method: str, url: str, body: object) -> Any:
        headers = {
            "X-API-Key": self.control.first_api_key(),
            "Content-Type": "application/json",
            "If-Match": "*",
        }
        content = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(url, content, headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            raise AssertionError(f"{method} {url}: {error.code} {error.read().decode()}") from None

    async def http(self, method: str, path: str, body: object = None) -> Any:
        return await asyncio.to_thread(self._ask, method, self.control.url + path, body)

    async def admin(self, method: str, path: str, body: object = None) -> Any:
        return await asyncio.to_thread(lambda: self._ask(method, self.control.admin_url + path, body))

    async def truth(self) -> Truth:
        return await read_truth(self.folder / "data", self.dsn)

    async def drained(self) -> None:
        """Every endpoint and the group say that nothing is behind them."""
        deadline = time.monotonic() + PATIENCE_S
        while behind := await self._behind():
            assert time.monotonic() < deadline, f"still behind: {behind}"
            await asyncio.sleep(LOOK_S)

    async def _behind(self) -> dict[str, object]:
        found: dict[str, object] = {}
        group = await self.http("GET", "/v1/events/groups/puller")
        if group["lag_events"]:
            found["pull"] = group["lag_events"]
        for each in (await self.admin("GET", "/endpoints"))["endpoints"]:
            name = each["name"]
            look = await self.admin("GET", f"/endpoints/{name}")
            if look["state"] != "active" or look["lag_events"] != 0:  # None: nobody knows
                found[name] = f"{look['state']}, {look['lag_events']} events behind"
        return found

    # -- faults

    def victims(self) -> dict[str, Callable[[float], None]]:
        """Name -> what kills it, lets so much time pass, and starts it again."""
        made: dict[str, Callable[[float], None]] = {
            name: partial(_kill, each) for name, each in self.servers.items()
        }
        made |= {"receiver": partial(_kill, self.webhook), "puller": partial(_kill, self.pull)}
        made["nats"] = partial(_kill, self.nats)
        if self.kafka is not None:
            made["kafka"] = partial(_kill, self.kafka)
        return made

    def stand_still(self, name: str, lasts_s: float = STOPPED_S) -> None:
        pid = self.servers[name].pid
        os.kill(pid, signal.SIGSTOP)
        time.sleep(lasts_s)
        os.kill(pid, signal.SIGCONT)

    def drain(self, name: str) -> None:
        self.servers[name].restart()


def _kill(one: ServerProcess | Kept | NatsProcess | KafkaProcess, pause_s: float) -> None:
    one.kill()
    time.sleep(pause_s)
    one.start()


@asynccontextmanager
async def world_of(folder: Path, dsn: str, ims: int, kafka: bool) -> AsyncIterator[World]:
    """`ims` 0: one process of all roles, else so many im processes, a gateway and a control process."""
    async with AsyncExitStack() as stack:
        world = World(folder, dsn, ims)
        stack.enter_context(world.nats)
        broker = stack.enter_context(KafkaProcess(folder)) if kafka else None
        try:
            await asyncio.to_thread(world.start)
            await world.open(broker)
            yield world
        except BaseException:
            for name, each in world.servers.items():
                print(f"--- {name}\n{each.tail(30)}")
            raise
        finally:
            await asyncio.to_thread(world.stop)
