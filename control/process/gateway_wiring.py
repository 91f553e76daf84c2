"""What a gateway is made of."""

from __future__ import annotations

from abc import abstractmethod
from functools import cached_property

from control.auth.login import REVOKED_TEXT
from control.auth.revocations import Revocations
from control.coordination.cut_off import CutOff, smaller_side
from control.coordination.nodes import own_info
from control.downlink.local import LocalDownlink
from control.gateway.allowances import Allowances
from control.gateway.asked_logins import AskedLogins
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
from control.policy.gateway import GatewayPolicies
from control.process.im_wiring import ImWiring
from control.process.live_settings import LiveSettings
from control.process.moving import Moving
from control.process.parts import (
    OwnNode,
)
from frame.constants import USER_PREFIX, CloseCode


class GatewayWiring(ImWiring):
    """The core, who logs in, who leaves, and the way to the im processes."""

    @cached_property
    @abstractmethod
    def live_settings(self) -> LiveSettings: ...

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
            self.resting if "im" in settings.server.roles and self._split else None,
            (lambda: self.gateway.cut_off) if serves else lambda: False,
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
            asked=self.asked_logins,
        )

    @cached_property
    def asked_logins(self) -> AskedLogins | None:
        return None if self.callbacks is None else AskedLogins(self.callbacks)

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
            lambda begun: self._begun(begun, True),
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

    def cut_off(self) -> CutOff | None:
        """What this process says of its bus in etcd, and learns there of the others'."""
        if (roster := self.roster) is None or self._identity.etcd is None:
            return None
        roles = self._settings.server.roles
        serves = "gateway" in roles and "im" not in roles  # whose im process hears it all needs no bus

        def problem() -> str | None:
            away = self.bus_part.problem()
            return away or (smaller_side(roster.listed(), self.coordination.mute()) if serves else None)

        return CutOff(
            self._written_as_owner(self._identity.etcd),
            roster,
            self._process.own,
            "gateway" if "gateway" in roles else roles[0],
            problem,
            self._settings.server.cut_off_s if serves else 0.0,
            self.gateway.send_away if serves else lambda yes: None,
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

    @cached_property
    def policies(self) -> GatewayPolicies:
        return self.policy.gateway(self.core)

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
