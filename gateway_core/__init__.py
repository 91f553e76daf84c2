"""The gateway core: sockets, loops, encryption, fan-out. No business logic, no database, no asyncio.

`Gateway` runs N loop threads and talks to Python through two narrow doors:

    events out   take_events() -> tuples, the first item says which
        (EV_AUTH, conn, suite, handshake_hash, kind, token, binding, device, platform, peer)
        (EV_SEND, conn, user, device, request, target, payload)
        (EV_CALL, conn, user, device, request, method, payload)
        (EV_CLOSED, conn, user, device, code)      code 0: the peer vanished without a CLOSE
        (EV_TOPIC, topic, loop, up)                first member joined / last one left on that loop
        (EV_SESSION, conn, user, device, platform, session_id)      told because somebody asked
    commands in  login, refuse, reply, send, publish, join, leave, kick, ...

A connection id names one connection for ever: a command to a dead one hits nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from gateway_core.config import CoreLimits, GatewayConfig
from gateway_core.errors import GatewayError, MailboxFull, NotRunning

if TYPE_CHECKING:
    from gateway_core.engine.gateway import Gateway

MODULES = {
    "leaf": "stats shared_buf conn_table mailbox events token_bucket deadlines",
    "net": "poller sender in_buffer out_queue listener",
    "conn": "users topics transport pending fanout session handshake ws_gate dispatch",
    "engine": "commands loop bridge settings orders gateway",
}


def _check_layout() -> None:
    """Modules compiled against different struct layouts read garbage: refuse to start instead."""
    known = [f"gateway_core.{folder}.{name}" for folder, names in MODULES.items() for name in names.split()]
    marks = {name: importlib.import_module(name).LAYOUT for name in known}
    if len(set(marks.values())) != 1:
        common = max(set(marks.values()), key=list(marks.values()).count)
        stale = ", ".join(name for name, mark in marks.items() if mark != common)
        raise ImportError(
            f"built from different versions of gateway_core/types.pxd: {stale}; run `make build`"
        )


def __getattr__(name: str) -> Any:
    """The compiled core is loaded when somebody wants a Gateway: settings are read and checked without it."""
    if name != "Gateway":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    _check_layout()
    return importlib.import_module("gateway_core.engine.gateway").Gateway


EV_AUTH = 1
EV_SEND = 2
EV_CALL = 3
EV_CLOSED = 4
EV_TOPIC = 5
EV_SESSION = 6

__all__ = [
    "EV_AUTH",
    "EV_CALL",
    "EV_CLOSED",
    "EV_SEND",
    "EV_SESSION",
    "EV_TOPIC",
    "CoreLimits",
    "Gateway",
    "GatewayConfig",
    "GatewayError",
    "MailboxFull",
    "NotRunning",
]
