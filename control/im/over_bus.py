"""The im role over the bus: both directions between the message service and the gateways."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping

from control.coordination.base import Coordination, NodeInfo
from control.downlink.bus import BusDownlink
from control.im.guests import Guests
from control.im.route_check import RouteCheck
from control.im.up_batches import SessionService, UpBatches
from control.logs import get_logger
from control.node_ids import Peer, node_key
from control.part import Part, Source
from control.routing.base import Routes
from control.streams.links import StreamLinks
from control.streams.operations import Up

log = get_logger("im")


class ImOverBus(Part):
    """Does for the gateways what they say, and asks them to repeat it when something was lost. Started
    before the service, stopped after it: the last answers go out.
    """

    def __init__(
        self,
        links: StreamLinks,
        coordination: Coordination,
        routes: Routes,
        downlink: BusDownlink,
        service: SessionService,
        guests: Guests,
    ) -> None:
        self._links = links
        self._coordination = coordination
        self._routes = routes
        self._downlink = downlink
        self.check = RouteCheck(
            routes, lambda *peer: service.registered_at(node_key(*peer)), self._repair, time.monotonic
        )
        self._batches = UpBatches(service, routes, self.check, downlink.sync, downlink.heeded, guests.told)
        self.unheeded = 0

    async def start(self) -> None:
        self._links.on(Up, self._on_batch, self._on_lost)
        self._coordination.on("gateway", self._on_gateway)

    async def stop(self, grace_s: float) -> None:
        self._downlink.flush()

    async def tick(self) -> None:
        self._routes.tick()
        more = True
        while more:
            more = self._routes.work()
            await asyncio.sleep(0)

    def who_is_there(self) -> None:
        """Another im process died, or its words are lost: of sessions that it served and that are in rooms
        here nobody may have told the end. The gateways know."""
        for info in self._coordination.nodes("gateway"):
            self._batches.who_is_there(info.node_id)
            self._downlink.resync(info.node_id)

    @property
    def latest_login(self) -> int:
        """That a gateway has told of, before its beacon does."""
        return self._batches.latest_login

    def sources(self) -> Mapping[str, Source]:
        return {
            "routes": lambda: {
                **self._routes.stats(),
                **self.check.stats(),
                "unheeded": self.unheeded,
                "undelivered": self._downlink.stale,
            }
        }

    def _on_batch(self, peer: Peer, batch: Up) -> None:
        """What a gateway says proves that it lives, whether its beacon has come or not. One that was replaced
        or has left is not heeded; should it come back, it is asked for all it holds."""
        if self._coordination.hear(peer, "gateway"):
            self._batches.apply(peer, batch)
        else:
            self.unheeded += 1

    def _on_gateway(self, info: NodeInfo, alive: bool) -> None:
        if not alive:
            self._batches.gateway_gone(info)
            self._downlink.gone(info.node_id)
            return
        owed = self._downlink.owed(info.node_id)
        if self._batches.gateway_came(info):
            log.warning("a gateway taken for dead is back", peer_id=info.node_id, epoch=info.epoch)
            owed = True
        if owed:
            self._ask(info.node_id)

    def _on_lost(self, peer_id: int) -> None:
        """Batches of a gateway are lost, maybe announcements or logins: it shall repeat everything."""
        roles = self._coordination.roles_of(peer_id)
        if not roles or "gateway" in roles:
            self._batches.lost(peer_id)
            self._ask(peer_id)

    def _ask(self, gateway: int) -> None:
        self.check.asked(gateway)
        self._downlink.resync(gateway)

    def _repair(self, gateway: int) -> None:
        """Its routes are wrong: it repeats everything, and what was not routed meanwhile is looked for."""
        self._batches.lost(gateway)
        self._downlink.resync(gateway)
