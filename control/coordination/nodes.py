"""Nodes that settings describe: gateways that are named there, and this process."""

from __future__ import annotations

from control.coordination.base import NodeInfo
from control.errors import SettingsProblem
from control.settings import Settings
from control.settings.model import parse_address


def static_gateways(settings: Settings) -> tuple[NodeInfo, ...]:
    """control.gateways as nodes. Raises SettingsProblem."""
    found = []
    for number, entry in enumerate(settings.control.gateways, 1):
        address, *attributes = entry.split(";")
        try:
            host, port = parse_address(address)
            pairs = dict(attribute.split("=", 1) for attribute in attributes)
        except ValueError as error:
            raise SettingsProblem(f"control.gateways: {entry!r}: {error}") from None
        if unknown := set(pairs) - {"zone", "isp", "name"}:
            raise SettingsProblem(f"control.gateways: {entry!r}: no such attribute: {', '.join(unknown)}")
        found.append(
            NodeInfo(
                number,
                0,
                pairs.get("name", address),
                ("gateway",),
                host,
                port,
                pairs.get("zone", ""),
                pairs.get("isp", ""),
            )
        )
    return tuple(found)


def own_info(settings: Settings, epoch: int, capacity: int) -> NodeInfo:
    """What this process tells the others about itself."""
    host, port = "", 0
    if "gateway" in settings.server.roles:
        host, port = parse_address(settings.gateway.advertise or settings.gateway.listen)
    return NodeInfo(
        settings.server.node_id,
        epoch,
        settings.node_name,
        tuple(settings.server.roles),
        host,
        port,
        settings.server.zone,
        settings.server.isp,
        capacity,
    )
