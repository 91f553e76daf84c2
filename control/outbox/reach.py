"""Whether servers of NATS and Kafka may be connected to: what a name means now, by the policy of webhooks."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterable

from control.outgoing.addresses import AddressPolicy


async def check_servers(policy: AddressPolicy, servers: Iterable[tuple[str, int]]) -> None:
    """Raises ValueError, OSError. What a server tells of others of its cluster is not looked at."""
    loop = asyncio.get_running_loop()
    for host, port in servers:
        for found in await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM):
            policy.check_address(str(found[4][0]))
