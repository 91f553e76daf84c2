"""What the routers need, built by the wiring and handed to `create_app`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from prometheus_client import CollectorRegistry

from control.api.lockout import Lockout
from control.api.rate_gate import RateGate
from control.auth.revocations import Revocations
from control.auth.tokens import TokenSigner
from control.coordination.base import Coordination
from control.coordination.documents import Documents
from control.health import Health
from control.im.api import ImApi
from control.keys.api_keys import ApiKeys
from control.settings import Settings


@dataclass
class Services:
    """`key_set` and `root` are what LBS tells clients about server keys; functions where keys rotate."""

    settings: Settings
    api_keys: ApiKeys
    signer: Callable[[], TokenSigner]
    coordination: Coordination
    documents: Documents
    revocations: Revocations
    key_set: Callable[[], bytes]
    root: str
    registry: CollectorRegistry
    rate_gate: RateGate
    lockout: Lockout
    health: Health = field(default_factory=Health)
    im: ImApi | None = None
