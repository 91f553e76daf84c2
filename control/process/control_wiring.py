"""What HTTP is made of."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import cached_property

from control.api.lockout import Lockout
from control.api.long_polls import LongPolls
from control.api.rate_gate import CHANGES_AT_ONCE, RateGate, day_gate
from control.api.services import EndpointServices, Services
from control.gateway.conn_search import ConnSearch
from control.im.api import ImApi
from control.im.placed import PlacedImApi
from control.im.route_report import (
    ClusterRoutes,
    LocalCount,
    RoutesAnswer,
    nothing_routed,
)
from control.im.word_lists import WordLists
from control.keys.wrapped import wrapping_of
from control.metrics import make_registry
from control.outbox.desk import OwnersDesk
from control.policy.guard import Guard
from control.process.gateway_wiring import GatewayWiring
from control.process.http_protocol import Bounds
from control.process.lbs_wiring import LbsWiring
from control.process.outbox_wiring import policy_of
from control.process.parts import (
    AdminPart,
    HttpPart,
    LbsPart,
)
from control.settings import Settings


class ControlWiring(GatewayWiring):
    """The API for app servers, the admin API and LBS, over what the process has."""

    @cached_property
    def guard(self) -> Guard:
        return self.policy.guard(self.audit)

    @cached_property
    def http(self) -> HttpPart:
        bounds = Bounds(self.shares.http, self._settings.limits.http_request_s)
        return HttpPart(self._settings.control.http, lambda: self.services, bounds)

    @cached_property
    def admin(self) -> AdminPart:
        bounds = Bounds(self.shares.admin, self._settings.limits.http_request_s)
        return AdminPart(self._settings.control.admin, lambda: self.services, bounds)

    @cached_property
    def lbs_http(self) -> LbsPart:
        bounds = Bounds(self.shares.lbs, self._settings.limits.http_request_s)
        return LbsPart(self._settings.control.lbs.http, lambda: self.services, bounds)

    @cached_property
    def lbs(self) -> LbsWiring:
        settings = self._settings.control.lbs
        return LbsWiring(settings, self.documents, self.coordination, lambda: self.keystore)

    def _live_http(self, settings: Settings) -> None:
        limits, services = settings.limits, self.services
        services.rate_gate.set(limits.api_requests_per_s, limits.api_burst)
        services.lockout.set(limits.key_failures, limits.key_lock_s)
        services.lbs.rates.set(settings.control.lbs.requests_per_s, settings.control.lbs.burst)

    @cached_property
    def services(self) -> Services:
        """Asked for when every part before HTTP has started."""
        limits = self._settings.limits
        return Services(
            settings=self._settings,
            api_keys=self.keyring,
            signer=lambda: self.keystore.signer(),
            coordination=self.coordination,
            documents=self.remembered,
            revocations=self.revocations,
            lbs=self.lbs.services,
            audit=self.audit,
            conns=ConnSearch(self.bus, self.coordination),
            policy=self.policy.room(self.remembered, self.guard),
            words=WordLists(self.remembered),
            endpoints=EndpointServices(
                self._endpoint_desk(), policy_of(self._settings), lambda: wrapping_of(self._settings)
            ),
            registry=make_registry(self._process.sources()),
            rate_gate=RateGate(limits.api_requests_per_s, limits.api_burst),
            operator_gate=RateGate(limits.api_requests_per_s, limits.api_burst),
            change_gate=RateGate(limits.admin_changes_per_s, CHANGES_AT_ONCE),
            audit_gate=day_gate(self._settings.audit.key_bytes_per_day),
            long_polls=LongPolls(self.shares.http),
            operator_polls=LongPolls(self.shares.admin),
            lockout=Lockout(limits.key_failures, limits.key_lock_s),
            health=self._process.health,
            im=self._im_api(),
            callbacks=self.callbacks,
            routes=self._look_at_routes(),
        )

    def _endpoint_desk(self) -> OwnersDesk:
        own = self.im if "im" in self._settings.server.roles else None
        place = None if own is None else (self._process.own[0], own)
        return OwnersDesk(self.bus if self._split else None, self._endpoint_owners, place)

    def _im_api(self) -> ImApi | None:
        own = self.im if "im" in self._settings.server.roles else None
        if not self._split:
            return own
        place = None if own is None else (self._process.own[0], self.room_api)
        return PlacedImApi(self.bus, self._im_ids, place, late=self.coordination.late)

    def _look_at_routes(self) -> Callable[[], Awaitable[RoutesAnswer]]:
        if self._split:
            return ClusterRoutes(
                self.bus, lambda: self.coordination.nodes("gateway"), self._im_ids, self.coordination.mute
            ).look
        if not {"gateway", "im"} <= set(self._settings.server.roles):
            return nothing_routed
        node, name = self._process.own[0], self._settings.node_name
        return LocalCount(
            node, name, self.gateway.open_sessions, self.gateway.sessions, self.im.service.sessions.total
        ).look
