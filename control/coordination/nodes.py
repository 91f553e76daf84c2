"""Nodes that settings describe: gateways that are named there, and this process."""

from __future__ import annotations

from msgspec.structs import replace

from control.coordination.base import NodeInfo
from control.settings import Settings
from control.settings.gateway_addresses import GatewayAddress, parse_gateway_address
from control.settings.model import parse_gateway
from control.settings.values import parse_address


def static_gateways(settings: Settings) -> tuple[NodeInfo, ...]:
    """control.gateways as nodes: entries of one name are addresses of one."""
    found: dict[str, NodeInfo] = {}
    for entry in settings.control.gateways:
        address, pairs = parse_gateway(entry)
        name, parsed = pairs.get("name", address), parse_gateway_address(address)
        if name not in found:
            zone, isp = pairs.get("zone", ""), pairs.get("isp", "")
            host, port = (
                (parsed.host, parsed.port) if parsed == GatewayAddress("tcp", *parsed[1:3]) else ("", 0)
            )
            found[name] = NodeInfo(len(found) + 1, 0, name, ("gateway",), host, port, zone, isp)
            if host:
                continue
        found[name] = replace(found[name], addresses=(*found[name].addresses, address))
    return tuple(found.values())


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
        addresses=settings.gateway.addresses,
    )
