"""Settings of each worker, made from those of the whole."""

from __future__ import annotations

from msgspec.structs import replace

from control.process.descriptors import file_limit
from control.settings import Settings
from control.settings.gateway_addresses import parse_gateway_address
from control.settings.values import join_address, parse_address

# Commands and events of one loop with 19,000 connections: rings of this size keep up with both, and a ring
# that has gone round once is memory for good.
RING = 2048


def worker_settings(settings: Settings, index: int) -> Settings:
    """Settings of worker `index` (from 0): its node id (0: still to be taken), name and port. That these
    suffice was checked.
    """
    gateway, server, core = settings.gateway, settings.server, settings.gateway.core
    shift = 0 if gateway.same_port else index
    own_gateway = replace(
        gateway,
        listen=_shifted(gateway.listen, shift),
        advertise=_shifted(gateway.advertise, shift) if gateway.advertise else "",
        addresses=tuple(_shifted_url(address, shift) for address in gateway.addresses),
        loops=gateway.loops or 1,
        processes=1,
        core=replace(
            core,
            mailbox=core.mailbox or RING,
            event_ring=core.event_ring or RING,
            max_connections=min(core.max_connections, file_limit()),
        ),
    )
    own_server = replace(
        server,
        node_id=server.node_id + index if server.node_id else 0,
        node_name=f"{server.node_name}-{index + 1}" if server.node_name else "",
    )
    return replace(settings, gateway=own_gateway, server=own_server)


def _shifted(address: str, shift: int) -> str:
    host, port = parse_address(address)
    return join_address(host, port + shift)


def _shifted_url(text: str, shift: int) -> str:
    """Of a further address; what ends TLS is one for all."""
    _, *attributes = text.split(";")
    transport, host, port, path, *_ = parse_gateway_address(text)
    if transport == "wss" or not shift:
        return text
    return ";".join([f"{transport}://{_shifted(join_address(host, port), shift)}{path}", *attributes])
