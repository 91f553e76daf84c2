"""The im role of a process: store, message service and, over the bus, routes and downlink."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from control.api.operations import with_raw
from control.bus.links import StreamLinks
from control.coordination.base import Coordination, NodeInfo
from control.logs import get_logger
from control.node import builders
from control.node.bus_downlink import BusDownlink
from control.node.im_node import ImNode
from control.node.presence import RoutePresence
from control.routing.memory import MemoryRoutes
from control.settings import Settings
from im_service.errors import Code, ImError
from im_service.ports import Downlink, PeersPort
from im_service.service import ImService
from im_service.storage.errors import StoreError

log = get_logger("im")


class ImPart:
    """Everything of the im role; also the message service as the HTTP API sees it (ImApi)."""

    def __init__(
        self,
        settings: Settings,
        coordination: Coordination,
        links: StreamLinks | None,
        peers: PeersPort | None = None,
    ) -> None:
        self._settings = settings
        self._peers = peers
        self.routes = MemoryRoutes()
        self._bus_downlink = BusDownlink(links, self.routes, coordination) if links is not None else None
        self._store = builders.make_store(settings)
        self._service: ImService | None = None
        self._node: ImNode | None = None
        self._started = False
        self._store_stats: Mapping[str, Any] = {}
        self._store_problem: str | None = None

    @property
    def service(self) -> ImService:
        if self._service is None:
            raise RuntimeError("the message service is not started")
        return self._service

    async def start(self, local: Downlink | None) -> None:
        """Open the store and build the service. `local`: the gateway of this process, None to use the bus."""
        downlink = local if local is not None else self._bus_downlink
        if downlink is None:
            raise ValueError("a message service without a gateway needs a bus")
        await self._store.start()
        self._started = True
        presence = RoutePresence(self.routes, self._devices) if local is None else None
        self._service = builders.make_service(
            self._settings, self._store, downlink, presence=presence, peers=self._peers
        )
        self._node = ImNode(self._service, self.routes, self._on_settled)
        await self._service.start()
        await self.refresh_stats()

    async def stop(self) -> None:
        """Finish what was accepted, then close the store."""
        if self._service is not None:
            await self._service.stop()
        if self._bus_downlink is not None:
            self._bus_downlink.flush()
        if self._started:
            self._started = False
            await self._store.stop()

    async def call(self, method: str, arguments: Mapping[str, Any], user: str = "") -> Any:
        known = self.service.methods.get(method)
        given = with_raw(known.args, arguments) if known is not None else arguments
        try:
            return await self.service.invoke(method, given, user)
        except OverflowError:
            # Seconds that no longer fit a time in milliseconds, and the like.
            raise ImError(Code.INVALID, "a number is out of bounds") from None

    def apply(self, peer_id: int, peer_epoch: int, operations: list[list[Any]]) -> None:
        if self._node is not None:
            self._node.apply(peer_id, peer_epoch, operations)

    def on_gateway(self, info: NodeInfo, alive: bool) -> None:
        if self._node is None:
            return
        if not alive:
            self._node.gateway_gone(info)
        elif self._node.gateway_came(info):
            log.warning("a gateway taken for dead is back", peer_id=info.node_id, epoch=info.epoch)
            self._ask(info.node_id)

    def on_lost(self, peer_id: int) -> None:
        """Batches of a gateway are lost, maybe announcements or logins: it shall tell everything again."""
        if self._node is not None:
            self._node.lost(peer_id)
            self._ask(peer_id)

    def _on_settled(self, gateway: int) -> None:
        if self._bus_downlink is not None:
            self._bus_downlink.sync(gateway)

    def _ask(self, gateway: int) -> None:
        if self._bus_downlink is not None:
            self._bus_downlink.ask(gateway)

    async def refresh_stats(self) -> None:
        """Ask the store how it is; the answer serves /metrics and /readyz until the next time."""
        try:
            self._store_stats = await self._store.stats()
            self._store_problem = None
        except StoreError as error:
            if self._store_problem is None:
                log.warning("store check failed", error=str(error))
            self._store_problem = str(error) or type(error).__name__

    def store_check(self) -> str | None:
        return self._store_problem

    def store_stats(self) -> Mapping[str, Any]:
        return self._store_stats

    def service_stats(self) -> Mapping[str, Any]:
        return self.service.stats() if self._service is not None else {}

    async def on_peer_change(self, kind: str, key: str) -> None:
        """Another im process changed something: what is remembered of it here is read again."""
        if self._service is not None:
            await self._service.on_peer_change(kind, key)

    def _devices(self, user: str) -> list[tuple[str, int]]:
        return self.service.sessions.devices(user)
