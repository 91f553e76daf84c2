"""Nodes that settings describe: gateways that are named there, and this process."""

from __future__ import annotations

from control.coordination.base import NodeInfo
from control.settings import Settings
from control.settings.model import parse_gateway
from control.settings.values import parse_address


def static_gateways(settings: Settings) -> tuple[NodeInfo, ...]:
    """control.gateways as nodes."""
    found = []
    for number, entry in enumerate(settings.control.gateways, 1):
        address, host, port, pairs = parse_gateway(entry)
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


def own_info(settings: Settings, epoch: int, capacity: int, root: str) -> NodeInfo:
    """What this process tells the others about itself; `root` is for those that clients meet."""
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
        wss=settings.gateway.advertise_wss,
        root=root,
    )
