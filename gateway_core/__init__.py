"""The gateway core: sockets, loops, encryption, fan-out. No business logic, no database, no asyncio.

`Gateway` runs N loop threads and talks to Python through two narrow doors:

    events out   take_events() -> tuples, the first item says which
        (EV_AUTH, conn, suite, handshake_hash, kind, token, binding, device, platform, peer, websocket)
        (EV_SEND, conn, user, device, request, target, payload)
        (EV_CALL, conn, user, device, request, method, payload)
        (EV_CLOSED, conn, user, device, code)      code 0: the peer vanished without a CLOSE
        (EV_TOPIC, topic, loop, up)                1: first member joined, 0: last one left on that loop;
                                                   2: told because somebody asked, then 0 of the topic ""
        (EV_SESSION, conn, user, device, platform, session_id, room)    told because somebody asked: room "",
                                                   then r/room#tag#tag for each room, and its tags there
        (EV_PICKED, conn, user, device, websocket, age)   one that shall leave, for its age or by pick();
                                                   user "" and conn = loop << 56: a whole round found no more
        (EV_DROPPED, topic, normal, high, notices) events that some members missed, since the last one
        (EV_REPORT, conn, user, platform, first, body)     what a client tells of its network; `first` of
                                                   this connection
        (EV_SILENT, conn, policy row, seconds)     closed, because nothing was read for so long; CLOSED
        follows (EV_LOOKED, conn, token, user, device, details, at)   one that look() found; user "": the
        end,
                                                   members of the topic, and the slot to go on at
        (EV_TICKET, conn, suite, user, device, platform, rev, until, issued, session_id, peer, websocket)
                                                   AUTH of kind 3, its binding proven: who the ticket says,
                                                   `rev` and `until` of its login, its age, its session
        (EV_PARKED, conn, user, device)            the session has no connection now, and is out of its rooms;
                                                   told behind its EV_SESSION, too
        (EV_RESUMED, conn, user, device, parked, peer, websocket)    it has another; parked: it had none
        (EV_ELSEWHERE, conn, suite, user, device, platform, rev, until, issued, session_id, peer, websocket,
         node, epoch, session_conn, seen)          who resumes is here, the session at `node`: answer with
                                                   resume_with or resume_fail
        (EV_TAKEN, conn, token, reason, flags, bodies)    answer to take_session; reason 0: the session has
                                                   ended here, and these are the MSG bodies that were not seen
    commands in  login, refuse, reply, send, publish, join, leave, kick, pick, look, send_away, admit,
                 set_ticket_keys, take_session, resume_with, resume_fail, end_parked, ...

A connection id names one connection for ever: a command to a dead one hits nothing.
"""

from __future__ import annotations

import functools
import importlib
from typing import TYPE_CHECKING, Any

from cmodules import same_build
from gateway_core.config import CoreLimits, GatewayConfig
from gateway_core.errors import GatewayError, MailboxFull, NotRunning

if TYPE_CHECKING:
    from gateway_core.engine.gateway import Gateway
    from gateway_core.leaf.events import (
        EV_AUTH,
        EV_CALL,
        EV_CLOSED,
        EV_DROPPED,
        EV_ELSEWHERE,
        EV_LOOKED,
        EV_PARKED,
        EV_PICKED,
        EV_REPORT,
        EV_RESUMED,
        EV_SEND,
        EV_SESSION,
        EV_SILENT,
        EV_TAKEN,
        EV_TICKET,
        EV_TOPIC,
    )

MODULES = {
    "leaf": "lists stats shared_buf mailbox events token_bucket class_budget address_table deadlines keys"
    " admission leavers ring replay_filter policies",
    "net": "poller sender in_buffer out_queue listener",
    "conn": "states table announce users topics transport pending fanout tickets parking session"
    " handing joining resume answering handshake ws_gate leaving looking easing policy dispatch",
    "engine": "execute loop bridge config submit gateway",
}


def __getattr__(name: str) -> Any:
    """The compiled core is loaded when somebody wants a Gateway: settings are read and checked without it."""
    if name != "Gateway" and not name.startswith("EV_"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    _load()
    home = "engine.gateway" if name == "Gateway" else "leaf.events"
    return getattr(importlib.import_module(f"gateway_core.{home}"), name)


@functools.cache
def _load() -> None:
    """Every module of the core, compared with each other once. Raises ImportError."""
    known = [f"gateway_core.{folder}.{each}" for folder, names in MODULES.items() for each in names.split()]
    same_build(*(importlib.import_module(module) for module in known))


__all__ = [
    "EV_AUTH",
    "EV_CALL",
    "EV_CLOSED",
    "EV_DROPPED",
    "EV_ELSEWHERE",
    "EV_LOOKED",
    "EV_PARKED",
    "EV_PICKED",
    "EV_REPORT",
    "EV_RESUMED",
    "EV_SEND",
    "EV_SESSION",
    "EV_SILENT",
    "EV_TAKEN",
    "EV_TICKET",
    "EV_TOPIC",
    "CoreLimits",
    "Gateway",
    "GatewayConfig",
    "GatewayError",
    "MailboxFull",
    "NotRunning",
]
