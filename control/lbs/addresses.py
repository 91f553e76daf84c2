"""The addresses of a node that a client can use, the best for it first."""

from __future__ import annotations

import ipaddress
from collections.abc import Collection, Iterable
from functools import lru_cache
from typing import Literal

from control.coordination.base import NodeInfo
from control.lbs.locate import Location
from control.settings.gateway_addresses import GatewayAddress, parse_gateway_address
from control.settings.values import parse_address
from frame.constants import WS_PATH

Wanted = Literal["tcp", "ws"]
PER_NODE = 2
"""Of one node in an answer: a second one for clients whose IPv6, or whose carrier's line, does not work."""


def addresses_of(node: NodeInfo, transport: Wanted, where: Location, family: int = 0) -> list[GatewayAddress]:
    """At most PER_NODE. `family`: 4 or 6 as the client came, 0 is not known."""
    found = sorted(_served(node, transport), key=lambda one: _distance(one, where, family))
    if len(found) <= 1:
        return found
    first, *rest = found
    other = next((one for one in rest if family_of(one.host) != family_of(first.host)), rest[0])
    return [first, other]


def has_addresses(node: NodeInfo, transport: Wanted) -> bool:
    """Whether `addresses_of` names any: asked of every node for every answer."""
    further = (parse_gateway_address(text).transport == "tcp" for text in node.addresses)
    if transport == "tcp":
        return bool(node.host) or any(further)
    return bool(node.host or node.wss) or not all(further)


def carriers_of(node: NodeInfo) -> Collection[str]:
    """Whose clients it has an address for."""
    if not node.addresses:
        return (node.isp,)
    return {node.isp, *(parse_gateway_address(text).isp for text in node.addresses)} - {""}


def _served(node: NodeInfo, transport: Wanted) -> Iterable[GatewayAddress]:
    further = [parse_gateway_address(text) for text in node.addresses]
    if transport == "tcp":
        own = [GatewayAddress("tcp", node.host, node.port)] if node.host else []
        return dict.fromkeys([*own, *(one for one in further if one.transport == "tcp")])
    proxied = [GatewayAddress("wss", *parse_address(node.wss), WS_PATH)] if node.wss else []
    found = [*proxied, *(one for one in further if one.transport != "tcp")]
    return dict.fromkeys(
        found or ([GatewayAddress("ws", node.host, node.port, WS_PATH)] if node.host else [])
    )


def _distance(one: GatewayAddress, where: Location, family: int) -> tuple[int, int, bool, bool]:
    """What is meant for others comes last; `wss` goes before `ws`."""
    own = family_of(one.host)
    return (
        _fit(one.isp, where.isp),
        _fit(one.network, where.network),
        bool(family and own) and own != family,
        one.transport == "ws",
    )


def _fit(meant: str, known: str) -> int:
    return 1 if not meant else 0 if meant == known else 2


@lru_cache(maxsize=4096)
def family_of(host: str) -> int:
    """4 or 6, 0 for a name."""
    try:
        return ipaddress.ip_address(host).version
    except ValueError:
        return 0
