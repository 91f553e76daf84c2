"""What an im process is made of."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from functools import cached_property

from control.downlink.bus import BusDownlink
from control.downlink.local import LocalDownlink
from control.im.guests import Guests, RoomsApi
from control.im.heirs import is_heir
from control.im.over_bus import ImOverBus
from control.im.peers import BusPeers
from control.im.presence import RoutePresence
from control.im.resting import Resting
from control.im.role import ImPart
from control.im.route_report import (
    REPORT,
    report,
)
from control.im.word_lists import WordListFollower
from control.process.joined_wiring import JoinedWiring
from control.process.outbox_wiring import OutboxWiring
from control.push.build import build_pushes
from control.push.pushes import Pushes
from control.routing import make_routes
from control.routing.base import Routes
from im_service.ports import SystemClock


class ImWiring(JoinedWiring, ABC):
    """The message service and its way to the gateways. What it needs of a gateway in the same process
    is built in gateway_wiring.
    """

    @cached_property
    @abstractmethod
    def downlink(self) -> LocalDownlink: ...

    @abstractmethod
    def _latest_login(self) -> int: ...

    @cached_property
    def im(self) -> ImPart:
        if not self._split:
            return ImPart(
                self._settings,
                self.downlink,
                latest_login=self._latest_login,
                root=self._root_of_clients,
                callbacks=self.callbacks,
                engines=self.engines,
                push=self.pushes,
            )
        presence = RoutePresence(
            self.routes,
            lambda user: self.im.service.sessions.devices_here(user),
            self.bus,
            self._process.own[0],
            self._im_ids,
            lambda user: self.im.service.sessions.away(user),
        )
        return ImPart(
            self._settings,
            self.bus_downlink,
            presence=presence,
            peers=self.peers,
            push=self.pushes,
            latest_login=self._latest_login,
            root=self._root_of_clients,
            callbacks=self.callbacks,
            engines=self.engines,
            heir=lambda node: is_heir(node, self._process.own[0], self._im_ids(), self._endpoint_owners()),
        )

    @cached_property
    def pushes(self) -> Pushes | None:
        return build_pushes(
            self._settings, SystemClock(), lambda token: self.im.service.push_tokens.gone(token)
        )

    @cached_property
    def resting(self) -> Resting:
        """A process with clients of its own, or that answers HTTP, never rests."""
        alone = set(self._settings.server.roles) == {"im"}
        return Resting(
            self.im.problem,
            lambda: [info for info in self.coordination.nodes("im") if info.node_id != self._process.own[0]],
            self._settings.server.cut_off_s if alone else 0.0,
        )

    @cached_property
    def outbox(self) -> OutboxWiring:
        own = self._process.own[0]
        return OutboxWiring(self._settings, self.documents, self.im, own, self._endpoint_owners)

    @cached_property
    def word_lists(self) -> WordListFollower:
        return WordListFollower(self.documents, self.im.moderation.use)

    @cached_property
    def routes(self) -> Routes:
        return make_routes()

    @cached_property
    def bus_downlink(self) -> BusDownlink:
        return BusDownlink(self.links, self.routes, self.coordination)

    @cached_property
    def guests(self) -> Guests:
        return Guests(self.coordination, self._process.own, time.monotonic)

    @cached_property
    def room_api(self) -> RoomsApi:
        return RoomsApi(self.im, self.guests)

    @cached_property
    def im_over_bus(self) -> ImOverBus:
        service, own = self.im.service, self._process.own[0]
        made = ImOverBus(self.links, self.coordination, self.routes, self.bus_downlink, service, self.guests)
        self.im.serve(REPORT, lambda: report(made.check, service.sessions_at, own, self._im_ids()))
        return made

    @cached_property
    def peers(self) -> BusPeers:
        return BusPeers(
            self.links,
            self.coordination,
            self._process.own,
            lambda kind, key: self.im.service.on_peer_change(kind, key),
            lambda: self.im_over_bus.who_is_there(),
            lambda way: self.im.service.on_peers_changed(way),
            lambda: self.im.service.sessions.away_here(),
        )
