"""Whose question it is: the peer of the connection, or whom listed proxies name."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from ipaddress import IPv4Network, IPv6Address, IPv6Network
from typing import TypeAlias

from control.lbs.tables import IpAddress

Networks: TypeAlias = Sequence[IPv4Network | IPv6Network]

MAX_HOPS = 16
"""Proxies behind one another; what a client wrote in front of more is not read."""


def networks(texts: Sequence[str]) -> Networks:
    """Raises ValueError."""
    return [ipaddress.ip_network(text, strict=False) for text in texts]


def client_address(peer: str, forwarded: Sequence[str], proxies: Networks) -> IpAddress | None:
    """The address of the client. `forwarded`: the values of X-Forwarded-For, in their order.

    Each proxy adds whom it heard at the end, so the list is read from there for as long as the one before was
    a listed proxy: what a client wrote itself stands in front and is never believed. None where the peer is
    no address (a Unix socket).
    """
    found = _parsed(peer)
    if found is None or not _among(found, proxies):
        return found
    hops = [hop for value in forwarded for hop in value.split(",")][-MAX_HOPS:]
    for hop in reversed(hops):
        named = _parsed(hop.strip())
        if named is None:
            break  # "unknown", or damaged: the last one that is known
        found = named
        if not _among(found, proxies):
            break
    return found


def prefix_of(address: IpAddress | None) -> str:
    """What counts as one client where addresses are counted: an IPv4 address, a /64 of IPv6."""
    if address is None:
        return ""
    return str(address) if address.version == 4 else str(int(address) >> 64)


def _parsed(text: str) -> IpAddress | None:
    """Also with a port, as some proxies write it, or a scope."""
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        found = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
    if isinstance(found, IPv6Address) and found.ipv4_mapped is not None:
        return found.ipv4_mapped
    return found


def _among(address: IpAddress, listed: Networks) -> bool:
    return any(address in network for network in listed)
