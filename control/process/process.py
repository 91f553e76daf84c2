"""The parts of one process, started from the inside out and stopped the other way round.

    keys -> bus -> membership -> store -> message service -> gateway -> HTTP          (start)
    drain gateway -> gateway -> message service -> store -> HTTP -> membership -> bus  (stop)

With all roles and the memory bus the gateway node calls the message service directly; otherwise both ends
speak over numbered streams (streams/links.py).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from control.api.app import create_app
from control.api.services import Services
from control.bus.engines import make_bus
from control.coordination.base import NodeInfo
from control.coordination.beacons import MemoryCoordination
from control.coordination.nodes import own_info, static_gateways
from control.gateway.role import GatewayPart
from control.health import Health
from control.im.api import ImApi, RemoteImApi, answer_question, api_subject
from control.im.peers import BusPeers
from control.im.role import ImPart
from control.keys.keystore import KeyStore
from control.logs import get_logger
from control.metrics import Sources, make_registry
from control.process.heap import Trimmer
from control.process.http_server import HttpServer
from control.settings import Settings
from control.settings.model import parse_address
from control.streams.links import StreamLinks
from control.streams.operations import FIRST_DOWN, decode
from control.ticks import ticks

log = get_logger("process")

HOUSEKEEPING_S, HOUSEKEEPING_MAX_S = 1.0, 5.0


class Process:
    """One process with the roles its settings name. Not reusable. `http` False: somebody else speaks HTTP."""

    def __init__(self, settings: Settings, *, http: bool = True) -> None:
        self.settings = settings
        self.roles = set(settings.server.roles)
        self.epoch = int(time.time() * 1000)
        self.health = Health()
        self.first_api_key = ""
        self._keystore = KeyStore(settings, create=True)
        self._bus = make_bus(settings)
        bus = settings.bus
        self._coordination = MemoryCoordination(
            self._bus,
            bus.beacon_s,
            bus.dead_after_s,
            static_gateways(settings),
            hears_gateways=self.roles != {"gateway"},
        )
        self._links: StreamLinks | None = None
        self._im: ImPart | None = None
        self._peers: BusPeers | None = None
        self._gateway: GatewayPart | None = None
        self._wants_http = http
        self._http: HttpServer | None = None
        self._housekeeping: asyncio.Task[None] | None = None
        self._trimmer = Trimmer()
        self._own: NodeInfo | None = None
        self._answers: set[asyncio.Task[None]] = set()

    @property
    def split(self) -> bool:
        """Do the roles of the data path speak over the bus?"""
        return self.settings.bus.kind != "memory"

    async def start(self) -> None:
        """Start every part. Raises OSError, BusError, KeyFileError or StoreError; call `stop` then."""
        settings = self.settings
        await self._bus.start()
        await self._start_links()
        if "im" in self.roles:
            self._peers = BusPeers(self._bus, (settings.server.node_id, self.epoch), self._on_peer_change)
            self._im = ImPart(settings, self._coordination, self._links, self._peers if self.split else None)
        self._gateway = (
            GatewayPart(settings, self._keystore, self._coordination, self._links)
            if "gateway" in self.roles
            else None
        )
        if self._im is not None:
            await self._im.start(self._gateway.downlink if self._gateway and not self.split else None)
            if self._peers is not None and self.split:
                await self._peers.start()
            await self._bus.respond(api_subject(settings.server.node_id), self._on_api_question)
        if self._gateway is not None:
            self._gateway.start(self._im.service if self._im and not self.split else None)
        self._coordination.on_change(self._on_membership)
        await self._coordination.start()
        if self._links is not None:
            await self._links.start()
        capacity = self._gateway.capacity if self._gateway else 0
        self._own = own_info(settings, self.epoch, capacity)
        self._coordination.announce(self._own)
        if self._wants_http:
            await self._start_http()
        self._install_checks()
        self._housekeeping = asyncio.create_task(self._keep_house(), name="housekeeping")
        if "control" in self.roles:
            self._make_first_api_key()  # last: it is shown once, so a start that fails must not use it up
        self.health.started = True
        log.info(
            "started",
            roles=sorted(self.roles),
            http=settings.control.http,
            listen=settings.gateway.listen if self._gateway else "",
            data_dir=str(settings.server.data_dir),
        )

    async def drain(self) -> None:
        """Take nothing new, send clients away, and wait until they are gone or the drain time is over."""
        self.health.draining = True
        if self._own is not None:
            self._announce_load()
        if self._gateway is not None:
            await self._gateway.drain()

    async def stop(self, grace_s: float) -> None:
        """Stop every part that was started; connections get `grace_s` seconds. Acked messages are durable."""
        self.health.draining = True
        if self._housekeeping is not None:
            self._housekeeping.cancel()
            await asyncio.gather(self._housekeeping, return_exceptions=True)
        if self._gateway is not None:
            await self._gateway.stop(grace_s)
        if self._im is not None:
            await self._im.stop()
        if self._http is not None:
            await self._http.stop()
        await self._coordination.close()
        if self._links is not None:
            await self._links.close()
        await self._bus.close()

    # -- parts

    async def _start_links(self) -> None:
        if not self.split:
            return
        bus = self.settings.bus
        self._links = StreamLinks(
            self._bus,
            (self.settings.server.node_id, self.epoch),
            self._on_batch,
            self._on_lost,
            bus.beacon_s,
            bus.ring_batches,
            bus.ring_bytes,
        )

    async def _start_http(self) -> None:
        services = Services(
            settings=self.settings,
            api_keys=self._keystore.api_keys(),
            signer=self._keystore.signer,
            coordination=self._coordination,
            key_set=self._keystore.key_set,
            root=self._keystore.root,
            registry=make_registry(self.sources()),
            health=self.health,
            im=self._im_api(),
        )
        host, port = parse_address(self.settings.control.http)
        self._http = HttpServer(create_app(services), host, port)
        await self._http.start()

    def _im_api(self) -> ImApi | None:
        if self._im is not None:
            return self._im
        return RemoteImApi(self._bus, self._any_im) if self.split else None

    def _any_im(self) -> int | None:
        ims = self._coordination.nodes("im")
        return ims[int(time.monotonic() * 1e6) % len(ims)].node_id if ims else None

    def _install_checks(self) -> None:
        checks = self.health.checks
        if self.roles & {"gateway", "control"}:
            checks["keys"] = self._keystore.check
        if self.split:
            checks["bus"] = lambda: None if self._bus.connected else "not connected"
            if "gateway" in self.roles:
                checks["im"] = lambda: None if self._coordination.nodes("im") else "no live im process"
        if self._im is not None:
            checks["store"] = self._im.store_check
        if self._gateway is not None:
            checks["gateway"] = self._gateway.check

    def sources(self) -> Sources:
        gateway, im = self._gateway, self._im
        return Sources(
            node_name=self.settings.node_name,
            roles=tuple(sorted(self.roles)),
            gateway_stats=gateway.core.stats if gateway else None,
            gateway_stages=gateway.core.stages if gateway else None,
            node=gateway.stats if gateway else None,
            service=im.service_stats if im else None,
            store=im.store_stats if im else None,
            streams=self._links.stats if self._links else None,
            bus=self._bus_stats if self.split else None,
            routes=im.routes.size if im and self.split else None,
            ready=self.health.ready,
            keys=self._keystore.seconds_left,
        )

    def _bus_stats(self) -> Mapping[str, Any]:
        return {"connected": self._bus.connected, "dropped": self._bus.dropped}

    def _make_first_api_key(self) -> None:
        self.first_api_key = self._keystore.api_keys().create_first("first")

    # -- what comes over the bus

    async def _on_peer_change(self, kind: str, key: str) -> None:
        if self._im is not None:
            await self._im.on_peer_change(kind, key)

    def _on_batch(self, peer_id: int, peer_epoch: int, batch: bytes) -> None:
        """A batch tells by its operations which end it is for; a process may be both ends."""
        operations = decode(batch)
        if operations and operations[0][0] > FIRST_DOWN:
            if self._gateway is not None:
                self._gateway.apply(peer_id, operations)
        elif self._im is not None:
            self._im.apply(peer_id, peer_epoch, operations)

    def _on_lost(self, peer_id: int) -> None:
        if self._gateway is not None:
            self._gateway.on_lost()
        if self._im is not None:
            self._im.on_lost(peer_id)

    def _on_membership(self, info: NodeInfo, alive: bool) -> None:
        if not alive and self._links is not None:
            self._links.forget(info.node_id, info.epoch)
        if self._im is not None and "gateway" in info.roles:
            self._im.on_gateway(info, alive)
        if self._gateway is not None and "im" in info.roles:
            self._gateway.on_im(info, alive)

    def _on_api_question(self, payload: bytes, answer: Callable[[bytes], None]) -> None:
        async def run() -> None:
            if self._im is not None:
                answer(await answer_question(self._im, payload))

        task = asyncio.create_task(run())
        self._answers.add(task)
        task.add_done_callback(self._answers.discard)

    # -- once a second, or with the beacons where those are rarer, to wake once for both

    async def _keep_house(self) -> None:
        period_s = min(max(HOUSEKEEPING_S, self.settings.bus.beacon_s), HOUSEKEEPING_MAX_S)
        async for _ in ticks(period_s):
            try:
                self._refresh_keys()
                self._announce_load()
                if self._im is not None:
                    await self._im.refresh_stats()
                elif self._gateway is not None:
                    self._trimmer.look(self._gateway.connections(), time.monotonic())
            except Exception:
                log.exception("housekeeping failed")

    def _refresh_keys(self) -> None:
        if self._keystore.look_after():
            log.info("the keys changed", key_ids=[key[0] for key in self._keystore.gateway_keys()])
            if self._gateway is not None:
                self._gateway.set_keys()

    def _announce_load(self) -> None:
        """Tell the cluster how full this gateway is; the next beacon carries it."""
        if self._own is not None and self._gateway is not None:
            self._own = msgspec.structs.replace(
                self._own, connections=self._gateway.connections(), draining=self.health.draining
            )
            self._coordination.announce(self._own)
