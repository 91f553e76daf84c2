"""The parts of a process, built from its settings: the only place that knows all of them.

A part is a line in `Wiring.parts`, in the order of the start; drain and stop go through the list in reverse:

    start   data folder -> documents -> bus -> node id, root key -> streams -> membership
            -> store, message service -> gateway -> own node -> HTTP
    stop    HTTP -> gateway -> message service, store -> membership -> streams -> bus -> documents

With all roles and the memory bus the gateway calls the message service directly; otherwise both ends speak
over numbered streams (control/streams).
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Iterator
from functools import cached_property

from control.api.lockout import Lockout
from control.api.rate_gate import CHANGES_AT_ONCE, RateGate, day_gate
from control.api.services import Services
from control.audit.trail import Audit
from control.auth.login import REVOKED_TEXT
from control.auth.revocations import Revocations
from control.bus.base import Bus
from control.bus.engines import make_bus
from control.bus.hearing import Hearing
from control.coordination.beacons import BeaconCoordination
from control.coordination.claim import NodeIdClaim, NodeNameClaim
from control.coordination.documents import Documents
from control.coordination.identity import Identity
from control.coordination.nodes import own_info, static_gateways
from control.coordination.remembered import Remembered
from control.coordination.roster import Roster
from control.coordination.same_root import SameRoot
from control.coordination.sqlite_documents import SqliteDocuments
from control.downlink.bus import BusDownlink
from control.downlink.local import LocalDownlink
from control.gateway.allowances import Allowances
from control.gateway.conn_search import ConnSearch, ConnService
from control.gateway.core import (
    Core,
    capacity_of,
    event_codes,
    loops_of,
    mailbox_full,
    make_core,
    not_running,
)
from control.gateway.dictionary import DictionaryFollower
from control.gateway.drain import DrainStatus
from control.gateway.events import GatewayEvents
from control.gateway.logins import Logins, Welcome
from control.gateway.looks import Looks
from control.gateway.orders import Orders
from control.gateway.over_bus import GatewayOverBus
from control.gateway.returns import Returns
from control.gateway.role import GatewayPart
from control.gateway.session_ids import SessionIds
from control.gateway.sync_hints import SyncHints
from control.gateway.traces import Traces
from control.im.api import ApiResponder, ImApi
from control.im.guests import Guests, RoomsApi
from control.im.over_bus import ImOverBus
from control.im.peers import BusPeers
from control.im.placed import PlacedImApi
from control.im.presence import RoutePresence
from control.im.role import ImPart
from control.im.route_report import (
    REPORT,
    ClusterRoutes,
    LocalCount,
    RoutesAnswer,
    nothing_routed,
    report,
)
from control.im.store_claim import make_claim
from control.keys.data_folder import COORDINATION_FILE, prepare_data_folder
from control.keys.keyring import Keyring
from control.keys.keystore import KeyStore, api_keys
from control.keys.shared import SharedKeys
from control.logs import set_level
from control.metrics import make_registry
from control.part import Part
from control.policy.gateway import GatewayPolicies
from control.policy.guard import Guard
from control.process.data_folder import DataFolder
from control.process.descriptors import Shares, shares
from control.process.http_protocol import Bounds
from control.process.lbs_wiring import LbsWiring
from control.process.live_settings import Apply, LiveSettings
from control.process.moving import Moving
from control.process.parts import (
    AdminPart,
    BusPart,
    FirstApiKey,
    HeapTrim,
    HttpPart,
    ImSeen,
    KeysPart,
    LbsPart,
    OwnNode,
)
from control.process.policy_wiring import PolicyWiring
from control.process.process import Process, dead_ticks
from control.routing import make_routes
from control.routing.base import Routes
from control.settings import Settings
from control.streams.links import StreamLinks
from frame.constants import USER_PREFIX, CloseCode

OPERATORS = ("drain/", "storm/", "settings/", "trace/", "lbs/", "policies/")
"""Documents that the admin API shows."""
Outlet = Callable[[Process], Part]
"""Makes the part that shows a process to others."""


def build_process(settings: Settings, identity: Identity, outlet: Outlet | None = None) -> Process:
    """The process that the settings describe, not started; they have its node id. `outlet` stands in for
    HTTP. Raises OSError, KeyFileError.
    """
    process = Process(settings, identity.own)
    process.parts = Wiring(process, identity, outlet).parts()
    return process


class Wiring:
    """What the parts are made of; each is built when the first of them asks for it."""

    def __init__(self, process: Process, identity: Identity, outlet: Outlet | None) -> None:
        self._process = process
        self._identity = identity
        self._outlet = outlet
        self._settings = process.settings
        self._split = process.settings.bus.kind != "memory"

    def parts(self) -> list[Part]:
        split = self._split
        gateway, im, control = (name in self._settings.server.roles for name in ("gateway", "im", "control"))
        listed: list[Part | None] = [
            self._identity if self._identity.etcd else None,
            KeysPart(self.keystore, self.gateway.set_keys if gateway else lambda: None)
            if gateway or control
            else None,
            self._shared_keys(),
            self.data_folder,
            None if self._identity.etcd else self.file_documents,
            self.bus_part,
            self.node_id_claim if split else None,
            self.node_name_claim if split and self._settings.server.node_name else None,
            self.same_root if split and (gateway or control) else None,
            self.links if split else None,
            self.coordination,
            make_claim(self._settings, self._process.own, self.bus if split else None) if im else None,
            self.guests if im and split else None,
            self.im_over_bus if im and split else None,
            self.im if im else None,
            self.peers if im and split else None,
            ApiResponder(self.bus, self._process.own[0], self.room_api) if im and split else None,
            self.revocations if gateway or control else None,
            self.keyring if control else None,
            self.gateway if gateway else None,
            self.orders if gateway else None,
            self.dictionary if gateway else None,
            self.policies if gateway else None,
            self.policy.responder(self.policies) if gateway else None,
            self.gateway_over_bus if gateway and split else None,
            ImSeen(self.coordination) if control and split and not gateway and not im else None,
            ConnService(self.bus, self._process.own[0], self.looks) if gateway else None,
            self.returns if gateway else None,
            self.traces if gateway else None,
            self.own_node,
            *(self.lbs.parts if control else []),
            self.lbs_http if control and self._settings.control.lbs.http else None,
            self.audit if control else None,
            self.remembered if control else None,
            self.guard if control else None,
            self.live_settings,
            self._outlet(self._process) if self._outlet else self.http,
            self.admin if control and self._settings.control.admin and not self._outlet else None,
            HeapTrim(self.gateway.connections) if gateway and not im else None,
            FirstApiKey(self.keystore, self.keyring, self._settings.server.data_dir, self.audit)
            if control
            else None,
        ]
        return [part for part in listed if part is not None]

    @cached_property
    def shares(self) -> Shares:
        return shares(self._settings)

    # -- what joins processes

    @cached_property
    def data_folder(self) -> DataFolder:
        prepare_data_folder(self._settings.server.data_dir)
        return DataFolder(self._settings.server.data_dir, self._process.addresses, alone=not self._split)

    def _owned(self) -> Documents:
        """For what this process writes of its own accord: only while it holds its node id."""
        if (etcd := self._identity.etcd) is None:
            return self.file_documents
        from control.coordination.etcd.documents import EtcdDocuments

        return EtcdDocuments(etcd.client, owner=etcd.registration)

    def _shared_keys(self) -> SharedKeys | None:
        if (joined := self._identity.keys) is None:
            return None
        made = SharedKeys(self._settings, self._owned(), self.keystore, joined)
        if "control" in self._settings.server.roles:
            made.on_change = lambda what, revision: self.audit.note(f"keys.{what}", {}, revision)
        return made

    @cached_property
    def documents(self) -> Documents:
        if (etcd := self._identity.etcd) is None:
            return self.file_documents
        from control.coordination.etcd.documents import EtcdDocuments

        return EtcdDocuments(etcd.client)

    @cached_property
    def remembered(self) -> Remembered:
        """What operators look at while etcd is away."""
        return Remembered(self.documents, OPERATORS)

    @cached_property
    def file_documents(self) -> SqliteDocuments:
        return SqliteDocuments(self._settings.server.data_dir / COORDINATION_FILE)

    @cached_property
    def roster(self) -> Roster | None:
        if (etcd := self._identity.etcd) is None:
            return None
        from control.coordination.etcd.documents import EtcdDocuments

        return Roster(EtcdDocuments(etcd.client, self._settings.etcd.prefix))

    @cached_property
    def keystore(self) -> KeyStore:
        made = KeyStore(self._settings, create=True)
        if "control" in self._settings.server.roles:
            made.on_rotated = lambda files: self.audit.note("keys.rotate", {"files": [*files]})
        return made

    @cached_property
    def keyring(self) -> Keyring:
        return Keyring(self.documents, api_keys(self._settings))

    @cached_property
    def bus(self) -> Bus:
        return make_bus(self._settings)

    @cached_property
    def bus_part(self) -> BusPart:
        hearing = Hearing(self.bus, self._process.own, dead_ticks(self._settings)) if self._split else None
        return BusPart(self.bus, hearing)

    @cached_property
    def links(self) -> StreamLinks:
        bus = self._settings.bus
        return StreamLinks(self.bus, self._process.own, bus.beacon_s, bus.ring_batches, bus.ring_bytes)

    @cached_property
    def node_id_claim(self) -> NodeIdClaim:
        name, bus = self._settings.node_name, self._settings.bus
        claim = NodeIdClaim(self.bus, self._process.own, name, bus.dead_after_s)
        self.bus.on_reconnect(claim.again)
        return claim

    @cached_property
    def node_name_claim(self) -> NodeNameClaim:
        name, bus = self._settings.server.node_name, self._settings.bus
        claim = NodeNameClaim(self.bus, self._process.own, name, bus.dead_after_s)
        self.bus.on_reconnect(claim.again)
        return claim

    @cached_property
    def same_root(self) -> SameRoot:
        return SameRoot(self.bus, self.coordination, self._settings.node_name, lambda: self.keystore.root)

    @cached_property
    def coordination(self) -> BeaconCoordination:
        settings = self._settings
        made = BeaconCoordination(
            self.bus,
            settings.bus.beacon_s,
            settings.bus.dead_after_s,
            static_gateways(settings),
            hears_gateways=set(settings.server.roles) != {"gateway"},
            roster=self.roster,
            clock_off_s=settings.bus.clock_off_s,
            clock_wrong_s=max(settings.bus.clock_off_s, settings.auth.clock_skew_s),
        )
        if self._split:
            made.on(None, lambda info, alive: None if alive else self.links.forget(info.node_id, info.epoch))
        return made

    @cached_property
    def own_node(self) -> OwnNode:
        settings, process = self._settings, self._process
        serves = "gateway" in settings.server.roles
        capacity = capacity_of(settings, self.shares.clients) if serves else 0
        root = self.keystore.root if set(settings.server.roles) != {"im"} else ""
        info = own_info(settings, process.own[1], capacity, root)
        connections = self.gateway.connections if serves else lambda: 0
        store = (lambda: self.im.incarnation) if "im" in settings.server.roles else lambda: b""
        port = (lambda: self.gateway.port) if serves else lambda: 0
        drain = self.moving.drain.status if serves else lambda: DrainStatus(draining=False)
        return OwnNode(
            self.coordination, info, port, connections, store, self._latest_login, process.health, drain,
            lambda: self.live_settings.refused,
        )  # fmt: skip

    @cached_property
    def revocations(self) -> Revocations:
        auth = self._settings.auth
        hears = "gateway" in self._settings.server.roles
        return Revocations(
            self.documents,
            auth.token_max_ttl_s,
            self._end_revoked if hears else lambda user, device: None,
            bus=self.bus,
        )

    # -- the im role

    @cached_property
    def im(self) -> ImPart:
        if not self._split:
            return ImPart(
                self._settings, self.downlink, latest_login=self._latest_login, root=self._root_of_clients
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
            latest_login=self._latest_login,
            root=self._root_of_clients,
        )

    def _root_of_clients(self) -> str:
        if set(self._settings.server.roles) != {"im"}:
            return self.keystore.root
        return next((node.root for node in self.coordination.nodes("control") if node.root), "")

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

    # -- the gateway role

    @cached_property
    def core(self) -> Core:
        keys = self.keystore
        return make_core(
            self._settings, keys.gateway_keys(), keys.key_set(), self._split, self.shares.clients
        )

    @cached_property
    def downlink(self) -> LocalDownlink:
        busy, gone = mailbox_full(), not_running()
        return LocalDownlink(self.core, busy, self._on_dropped, not_running=gone, watch=self.traces)

    @cached_property
    def hints(self) -> SyncHints:
        return SyncHints(lambda: self.downlink, self._settings.bus.sync_spread_s)

    def _on_dropped(self) -> None:
        """The core could not take commands for too long: the sessions here shall look into the store."""
        if self._split:
            self.gateway_over_bus.on_lost()
        else:
            self.hints.trigger([USER_PREFIX + user for user in self.im.service.sessions.names()])

    @cached_property
    def gateway_over_bus(self) -> GatewayOverBus:
        return GatewayOverBus(
            self._settings,
            self._process.key,
            self.core,
            self.links,
            self.coordination,
            self.downlink,
            self.hints,
        )

    @cached_property
    def session_ids(self) -> SessionIds:
        return SessionIds(self._settings.server.node_id, heard=self._heard_login)

    @cached_property
    def logins(self) -> Logins:
        settings = self._settings
        return Logins(
            self.core,
            self.keystore.verifier,
            self.session_ids,
            Welcome(
                settings.node_name,
                settings.gateway.ws_ping_interval_s,
                self._incarnation,
            ),
            Allowances(settings.gateway.core.inbound_per_s, settings.gateway.core.inbound_burst),
            settings.limits.user_logins_per_s,
            self.revocations,
            self.policies,
        )

    def _end_revoked(self, user: str, device: str | None) -> None:
        """Who is here with a token that is over shall get another."""
        self.downlink.kick(user, device, self.logins.above, CloseCode.TOKEN_EXPIRED, REVOKED_TEXT)

    @cached_property
    def looks(self) -> Looks:
        return Looks(self.core, loops_of(self._settings), (mailbox_full(),), self.session_ids.made_ms)

    @cached_property
    def returns(self) -> Returns:
        ask_s = self._settings.gateway.resume_ask_ms / 1000
        node = self._process.own[0]
        return Returns(
            self.core,
            self.logins,
            self.bus,
            node,
            ask_s,
            mailbox_full(),
            lambda begun: self._begun(begun),
            lambda begun: self.downlink.kick(
                begun.user, begun.device, begun.session_id + 1, CloseCode.INTERNAL, "not all could be told"
            ),
        )

    @cached_property
    def traces(self) -> Traces:
        return Traces(self.documents, event_codes(), self.looks)

    @cached_property
    def gateway(self) -> GatewayPart:
        settings = self._settings
        upstream = self.gateway_over_bus.upstream if self._split else None
        events = GatewayEvents(
            self.core,
            event_codes(),
            self.logins,
            upstream or self.im.service,
            self._process.key,
            upstream,
            settings.gateway.events_per_wake,
            not_running(),
            lambda *picked: self.gateway.on_picked(*picked),
            self.looks.on_looked,
            self.traces,
            lambda event: self.returns.on_elsewhere(event),
            lambda *taken: self.returns.on_taken(*taken),
            self.policies,
        )
        self._begun = events.begun
        return GatewayPart(
            settings,
            self.keystore,
            self.core,
            events,
            self.downlink,
            self.hints,
            self.moving.admission,
            self.moving.drain,
            self.moving.moves,
            self.moving.easing(self.hints),
            alone=self._alone,
            hear_gateways=self.coordination.hear_gateways,
            settle=upstream.settle if upstream else self.im.settle,
        )

    @cached_property
    def moving(self) -> Moving:
        return Moving(
            self._settings,
            self._process.own[0],
            self.core,
            self.coordination,
            lambda: self.keystore.root,
            lambda: self.own_node.tell(),
            lambda: self.logins.above,
            others_speak=self._split,
        )

    @cached_property
    def orders(self) -> Orders:
        node, moving = self._settings.node_name, self.moving
        own = self._process.own
        return Orders(self.documents, node, own[1], self.gateway.order_drain, moving.admission, self._owned())

    @cached_property
    def dictionary(self) -> DictionaryFollower:
        return DictionaryFollower(self.documents, self.core.set_dictionary)

    # -- heartbeat policies

    @cached_property
    def policy(self) -> PolicyWiring:
        process = self._process
        return PolicyWiring(self._settings, process.own, self.documents, self.bus, self.coordination)

    @cached_property
    def policies(self) -> GatewayPolicies:
        return self.policy.gateway(self.core)

    @cached_property
    def guard(self) -> Guard:
        return self.policy.guard(self.audit)

    def _alone(self) -> bool:
        """No other gateway is known, nor could be."""
        if self._split:
            return self.bus_part.problem() is not None
        return not self._settings.control.gateways

    def _heard_login(self) -> int:
        """The latest login elsewhere and before this start."""
        heard = [self.coordination.latest_login]
        if "im" in self._settings.server.roles:
            heard += [self.im.past_logins, self.im_over_bus.latest_login if self._split else 0]
        return max(heard)

    def _latest_login(self) -> int:
        own = self.logins.latest if "gateway" in self._settings.server.roles else 0
        return max(own, self._heard_login())

    def _incarnation(self) -> bytes:
        """Of the store behind the im processes; empty while none is known."""
        if "im" in self._settings.server.roles:
            return self.im.incarnation
        return next((info.store for info in self.coordination.nodes("im") if info.store), b"")

    # -- HTTP

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

    @cached_property
    def live_settings(self) -> LiveSettings:
        return LiveSettings(self.documents, self._settings, list(self._live()))

    def _live(self) -> Iterator[Apply]:
        """Who takes live settings in this process."""
        yield lambda settings: set_level(settings.log.level, settings.log.levels)
        if "gateway" in self._settings.server.roles:
            yield lambda settings: self.logins.set_pace(settings.limits.user_logins_per_s)
            yield lambda settings: self.moving.admission.set(settings.gateway.admission)
            yield lambda settings: self.moving.moves.set(settings.gateway.leaving)
            yield lambda settings: self.gateway.set_spread(settings.server.drain_spread_s)
            yield lambda settings: self.logins.set_ping(
                settings.gateway.ping_interval_s, settings.gateway.ws_ping_interval_s
            )
        if "im" in self._settings.server.roles:
            yield lambda settings: self.im.service.set_rates(settings.im.service)
        if "control" in self._settings.server.roles:
            yield self._live_http

    def _live_http(self, settings: Settings) -> None:
        limits, services = settings.limits, self.services
        services.rate_gate.set(limits.api_requests_per_s, limits.api_burst)
        services.lockout.set(limits.key_failures, limits.key_lock_s)
        services.lbs.rates.set(settings.control.lbs.requests_per_s, settings.control.lbs.burst)

    @cached_property
    def audit(self) -> Audit:
        return Audit(self._settings)

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
            registry=make_registry(self._process.sources()),
            rate_gate=RateGate(limits.api_requests_per_s, limits.api_burst),
            operator_gate=RateGate(limits.api_requests_per_s, limits.api_burst),
            change_gate=RateGate(limits.admin_changes_per_s, CHANGES_AT_ONCE),
            audit_gate=day_gate(self._settings.audit.key_bytes_per_day),
            lockout=Lockout(limits.key_failures, limits.key_lock_s),
            health=self._process.health,
            im=self._im_api(),
            routes=self._look_at_routes(),
        )

    def _im_api(self) -> ImApi | None:
        own = self.im if "im" in self._settings.server.roles else None
        if not self._split:
            return own
        place = None if own is None else (self._process.own[0], self.room_api)
        return PlacedImApi(self.bus, self._im_ids, place)

    def _look_at_routes(self) -> Callable[[], Awaitable[RoutesAnswer]]:
        if self._split:
            return ClusterRoutes(self.bus, lambda: self.coordination.nodes("gateway"), self._im_ids).look
        if not {"gateway", "im"} <= set(self._settings.server.roles):
            return nothing_routed
        node, name = self._process.own[0], self._settings.node_name
        return LocalCount(
            node, name, self.gateway.open_sessions, self.gateway.sessions, self.im.service.sessions.total
        ).look

    def _im_ids(self) -> list[int]:
        return [info.node_id for info in self.coordination.nodes("im")]
