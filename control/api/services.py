"""What the routers need, built by the wiring and handed to `create_app`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry

from control.api.lockout import Lockout
from control.api.long_polls import LongPolls
from control.api.rate_gate import RateGate
from control.audit.trail import Audit
from control.auth.revocations import Revocations
from control.auth.tokens import TokenSigner
from control.coordination.base import Coordination
from control.coordination.documents import Documents
from control.gateway.conn_search import ConnSearch
from control.health import Health
from control.im.api import ImApi
from control.im.route_report import RoutesAnswer, nothing_routed
from control.im.word_lists import WordLists
from control.keys.keyring import Keyring
from control.keys.wrapped import Wrapping
from control.lbs.balancer import Balancer
from control.lbs.client_address import Networks
from control.outbox.desk import EndpointDesk
from control.outgoing.addresses import AddressPolicy
from control.policy.room import PolicyRoom
from control.rates import Rates
from control.settings import Settings

if TYPE_CHECKING:  # at run time only where it is wanted
    from control.callbacks.asker import Callbacks


@dataclass
class LbsServices:
    """What LBS is made of."""

    balancer: Balancer
    rates: Rates
    proxies: Networks

    def numbers(self) -> dict[str, int]:
        """For metrics."""
        return {
            "answers_total": self.balancer.answered,
            "unplaced_total": self.balancer.unplaced,
            "rate_limited_total": self.rates.refused,
            "addresses": len(self.rates),
        }


@dataclass
class EndpointServices:
    """What routes about endpoints of the event copy ask: their owners, what may be called, and how secrets
    are wrapped."""

    desk: EndpointDesk
    policy: AddressPolicy
    wrapping: Callable[[], Wrapping]


@dataclass
class Services:
    """`signer` is a function because keys rotate. `rate_gate` is that of the app servers' API, and
    may be changed live; `operator_gate`, of the admin API, may not: who sets too few can undo it.
    """

    settings: Settings
    api_keys: Keyring
    signer: Callable[[], TokenSigner]
    coordination: Coordination
    documents: Documents
    revocations: Revocations
    lbs: LbsServices
    registry: CollectorRegistry
    rate_gate: RateGate
    operator_gate: RateGate
    change_gate: RateGate
    audit_gate: RateGate
    """bytes of the audit log"""
    long_polls: LongPolls
    """of the app servers' port"""
    operator_polls: LongPolls
    lockout: Lockout
    audit: Audit
    conns: ConnSearch
    policy: PolicyRoom
    words: WordLists
    endpoints: EndpointServices
    health: Health = field(default_factory=Health)
    im: ImApi | None = None
    callbacks: Callbacks | None = None
    routes: Callable[[], Awaitable[RoutesAnswer]] = nothing_routed
