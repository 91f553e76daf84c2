"""What the routers need, built by the wiring and handed to `create_app`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from prometheus_client import CollectorRegistry

from control.api.health import Health
from control.api.im_api import ImApi
from control.auth.api_keys import ApiKeys
from control.auth.tokens import TokenSigner
from control.coordination.base import Coordination
from control.settings import Settings


@dataclass
class Services:
    """`key_set` and `root` are what LBS tells clients about server keys; functions because keys rotate."""

    settings: Settings
    api_keys: ApiKeys
    signer: TokenSigner
    coordination: Coordination
    key_set: Callable[[], bytes]
    root: str
    registry: CollectorRegistry
    health: Health = field(default_factory=Health)
    im: ImApi | None = None
