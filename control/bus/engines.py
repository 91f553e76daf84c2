"""The bus that the settings name."""

from __future__ import annotations

from control.bus.base import Bus
from control.bus.memory import MemoryBus
from control.settings import Settings


def make_bus(settings: Settings) -> Bus:
    if settings.bus.kind == "memory":
        return MemoryBus()
    from control.bus.nats import NatsBus

    bus = settings.bus
    return NatsBus(bus.nats_url, bus.prefix, bus.nats_token, settings.node_name)
