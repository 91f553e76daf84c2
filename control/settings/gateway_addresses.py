"""Addresses of gateways as settings write them: `[tcp://|ws://|wss://]host[:port][/path]` and attributes."""

from __future__ import annotations

from functools import lru_cache
from typing import Literal, NamedTuple
from urllib.parse import urlsplit

from control.settings.values import is_wildcard
from frame.constants import WS_PATH

Transport = Literal["tcp", "ws", "wss"]
PORTS = {"ws": 80, "wss": 443}


class GatewayAddress(NamedTuple):
    """`isp` and `network`: whose clients it is meant for; "" is everybody."""

    transport: Transport
    host: str
    port: int
    path: str = ""
    isp: str = ""
    network: str = ""


@lru_cache(maxsize=4096)
def parse_gateway_address(text: str) -> GatewayAddress:
    """Read an address that clients are to connect to. Raises ValueError."""
    address, *attributes = text.split(";")
    pairs = parse_attributes(attributes, ("isp", "network"))
    parts = urlsplit(address if "://" in address else f"tcp://{address}")
    host, port = parts.hostname or "", parts.port or PORTS.get(parts.scheme, 0)
    if parts.scheme not in ("tcp", "ws", "wss"):
        raise ValueError(f"{address!r}: neither tcp://, ws:// nor wss://")
    if not host or not port:
        raise ValueError(f"{address!r} is not host:port")
    if is_wildcard(host):
        raise ValueError(f"{address!r} is nothing that a client can connect to")
    if parts.query or parts.fragment or "@" in parts.netloc or (parts.scheme == "tcp" and parts.path):
        raise ValueError(f"{address!r}: a host, a port and, for WebSocket, a path are all there is")
    path = "" if parts.scheme == "tcp" else parts.path or WS_PATH
    transport: Transport = "tcp" if parts.scheme == "tcp" else "ws" if parts.scheme == "ws" else "wss"
    return GatewayAddress(transport, host, port, path, pairs.get("isp", ""), pairs.get("network", ""))


def parse_attributes(words: list[str], known: tuple[str, ...]) -> dict[str, str]:
    """`name=value` each. Raises ValueError."""
    pairs = {}
    for word in words:
        name, equals, value = word.partition("=")
        if not equals or name not in known:
            raise ValueError(f"no such attribute: {name}")
        pairs[name] = value
    return pairs
