"""The im role of a process: store, message service and, over the bus, routes and downlink."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from control.coordination.base import Coordination, NodeInfo
from control.errors import SettingsProblem
from control.im.downlink import BusDownlink
from control.im.gateways import ImNode
from control.im.presence import RoutePresence
from control.im.replays import ReplayKeeper
from control.keys.data_folder import STORE_FILE
from control.logs import get_logger
from control.routing.memory import MemoryRoutes
from control.settings import Settings
from control.streams.links import StreamLinks
from im_service.calls import Args
from im_service.context import Ports
from im_service.errors import Code, ImError
from im_service.ports import Downlink, NoPeers, PeersPort, SystemClock
from im_service.service import ImService
from im_service.settings import ImSettings
from im_service.storage.errors import StoreError
from im_service.storage.store import Store

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
        self._store = make_store(settings)
        self._replays = ReplayKeeper(self._store, SystemClock())
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
        ports = Ports(downlink, peers=self._peers or NoPeers(), presence=presence)
        self._service = ImService(self._store, ports, im_settings(self._settings))
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

    async def call(self, method: str, arguments: Args | msgspec.Raw, user: str = "") -> Any:
        if method in self._replays.handles:
            return await self._replays.call(method, arguments)
        try:
            return await self.service.invoke(method, arguments, user)
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


def make_store(settings: Settings) -> Store:
    """The store, not started. Raises nothing that touches the disk."""
    if settings.store.kind == "postgres":
        from im_service.storage.postgres.store import PostgresStore

        url = settings.store.url.get_secret_value() if settings.store.url else ""
        return PostgresStore(url)
    from im_service.storage.sqlite.store import SqliteStore

    return SqliteStore(settings.server.data_dir / STORE_FILE)


def im_settings(settings: Settings) -> ImSettings:
    """The [im] service map as im_service.settings.Settings. Raises SettingsProblem."""
    given = {"node": settings.server.node_id, **settings.im.service}
    if unknown := set(given) - set(ImSettings.__struct_fields__):
        raise SettingsProblem(f"im.service: no such setting: {', '.join(sorted(unknown))}")
    try:
        return msgspec.convert(given, ImSettings)
    except msgspec.ValidationError as error:
        raise SettingsProblem(f"im.service: {error}") from None
