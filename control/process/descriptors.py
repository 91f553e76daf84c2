"""Descriptors of this process: a share for clients, one for HTTP, and what it needs itself."""

from __future__ import annotations

import errno
import resource
from typing import NamedTuple

from control.settings import Settings

OWN = 256
"""For the store, the bus, logs, the loops with their wake-ups, and connections that are being refused."""
PROBES = 64
"""Connections to HTTP without its API: probes and metrics."""
HTTP_PART = 4
"""HTTP gets a part of this size at most, where descriptors are few."""


class Shares(NamedTuple):
    """Connections the process may hold, so that neither port takes the last descriptor from the other."""

    clients: int
    http: int


def shares(settings: Settings) -> Shares:
    """Raises OSError when the file limit leaves nothing for clients of a gateway."""
    limit, wanted = file_limit(), settings.limits.http_connections
    http = min(wanted if "control" in settings.server.roles else min(wanted, PROBES), limit // HTTP_PART)
    clients = limit - http - OWN
    if clients < 1 and "gateway" in settings.server.roles:
        raise OSError(errno.EMFILE, f"{limit} open files leave none for clients: raise LimitNOFILE")
    return Shares(clients, http)


def file_limit() -> int:
    """Descriptors this process may have."""
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]


def raise_file_limit() -> None:
    """Connections are descriptors: take what the machine grants."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
