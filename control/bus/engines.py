"""The bus that the settings name."""

from __future__ import annotations

from control.bus.base import Bus
from control.bus.memory import MemoryBus
from control.settings import Settings


def make_bus(settings: Settings) -> Bus:
    if settings.bus.kind == "memory":
        return MemoryBus()
    from control.bus.nats import NatsBus

    token = settings.bus.nats_token.get_secret_value() if settings.bus.nats_token else None
    return NatsBus(settings.bus.nats_url, settings.bus.prefix, token, settings.node_name)
