"""What heartbeat policies need in a process: the gateway's side, and the guard of canaries in control
processes."""

from __future__ import annotations

from functools import cached_property

from control.audit.trail import Audit
from control.bus.base import Bus
from control.coordination.base import Coordination
from control.coordination.documents import Documents
from control.gateway.core import Core, mailbox_full
from control.node_ids import Peer
from control.part import Part
from control.policy.arms import FleetNumbers, NumbersResponder
from control.policy.documents import PolicyDocuments
from control.policy.gateway import GatewayPolicies
from control.policy.guard import Guard
from control.policy.room import PolicyRoom
from control.settings import Settings


class PolicyNumbers(Part):
    """Answers what is counted here; started after the bus."""

    def __init__(self, responder: NumbersResponder) -> None:
        self._responder = responder

    async def start(self) -> None:
        await self._responder.start()


class PolicyWiring:
    """`gateway` and `control` are asked for in processes with that role alone."""

    def __init__(
        self, settings: Settings, own: Peer, documents: Documents, bus: Bus, coordination: Coordination
    ) -> None:
        self._settings = settings
        self._own = own
        self._documents = documents
        self._bus = bus
        self._coordination = coordination

    def gateway(self, core: Core) -> GatewayPolicies:
        gateway = self._settings.gateway
        return GatewayPolicies(
            self._documents,
            core,
            self._settings.server.data_dir,
            gateway.ping_interval_s,
            gateway.core.grace_s,
            (self._settings.node_name, self._own[1]),
            (mailbox_full(),),
        )

    def responder(self, policies: GatewayPolicies) -> Part:
        return PolicyNumbers(NumbersResponder(self._bus, self._own[0], policies.numbers))

    @cached_property
    def fleet(self) -> FleetNumbers:
        return FleetNumbers(self._bus, self._coordination)

    def guard(self, audit: Audit) -> Guard:
        policy, documents = self._settings.control.policy, PolicyDocuments(self._documents)
        return Guard(documents, self.fleet, self._coordination, self._own[0], policy, audit)

    def room(self, documents: Documents, guard: Guard) -> PolicyRoom:
        return PolicyRoom(PolicyDocuments(documents), self.fleet, self._settings.control.policy, guard)
