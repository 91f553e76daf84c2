"""Descriptors of this process: a share for clients, one for HTTP, one for operators, and what it needs."""

from __future__ import annotations

import errno
import resource
from typing import NamedTuple

from control.settings import Settings

OWN = 256
"""For the store, the bus, logs, the loops with their wake-ups, and connections that are being refused."""
PROBES = 64
"""Connections to HTTP without its API: probes and metrics."""
ADMIN = 32
"""Connections to the admin API: of some operators and their tools."""
HTTP_PART = 4
"""HTTP gets a part of this size at most, where descriptors are few."""
LBS_PART = 8
"""The listener of LBS, where it has its own."""


class Shares(NamedTuple):
    """Connections the process may hold, so that no port takes the last descriptor from another."""

    clients: int
    http: int
    admin: int
    lbs: int = 0


def shares(settings: Settings) -> Shares:
    """Raises OSError when the file limit leaves nothing for clients of a gateway."""
    limit, wanted = file_limit(), settings.limits.http_connections
    http = min(wanted if "control" in settings.server.roles else min(wanted, PROBES), limit // HTTP_PART)
    has_admin = "control" in settings.server.roles and settings.control.admin
    admin = min(ADMIN, limit // HTTP_PART) if has_admin else 0
    own_lbs = "control" in settings.server.roles and settings.control.lbs.http
    lbs = min(settings.control.lbs.connections, limit // LBS_PART) if own_lbs else 0
    clients = limit - http - admin - lbs - OWN
    if clients < 1 and "gateway" in settings.server.roles:
        raise OSError(errno.EMFILE, f"{limit} open files leave none for clients: raise LimitNOFILE")
    return Shares(clients, http, admin, lbs)


def file_limit() -> int:
    """Descriptors this process may have."""
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]


def raise_file_limit() -> None:
    """Connections are descriptors: take what the machine grants."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
