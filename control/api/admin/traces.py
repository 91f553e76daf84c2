"""Users whose frames the gateways write down for a while: kinds and sizes, never what is in them."""

from __future__ import annotations

import contextlib
import dataclasses
import time
from typing import Annotated

from msgspec import Meta, Struct

from control.api.admin import documents
from control.api.admin.documents import Gone, Nothing
from control.api.admin.route import Ask, Given, Reply, Route
from control.audit.entry import Id
from control.coordination.documents import Conflict
from control.gateway.traces import PREFIX, TraceOrder
from control.keys.api_keys import OPERATOR, VIEWER


class TraceWanted(Given, kw_only=True):
    for_s: Annotated[int, Meta(ge=1, le=86_400)] = 600


class Trace(Struct, kw_only=True):
    """`until`: unix seconds; `by`: id of the key that ordered it."""

    user: str
    until: float
    by: str


class Traces(Struct, kw_only=True):
    traces: list[Trace]


async def listed(ask: Ask[Nothing]) -> Reply:
    """Few: each was ordered by somebody, and ends."""
    now, shown_now = time.time(), []
    for document in (await ask.services.documents.list(PREFIX)).documents:
        order = documents.readable(document, TraceOrder)
        if order is not None and order.until > now:
            user = document.key.removeprefix(PREFIX)
            shown_now.append(Trace(user=user, until=order.until, by=order.by))
    return Reply(Traces(traces=shown_now[:MOST]))


async def shown(ask: Ask[Nothing]) -> Reply:
    return await documents.show(ask, PREFIX + ask.path["user"], TraceOrder)


async def ordered(ask: Ask[TraceWanted]) -> Reply:
    gone = await _swept(ask)
    order = TraceOrder(until=round(time.time() + ask.given.for_s, 3), by=ask.key.id)
    reply = await documents.put(ask, PREFIX + ask.path["user"], order)
    return dataclasses.replace(reply, ids=(("forgotten", gone),)) if gone else reply


async def ended(ask: Ask[Nothing]) -> Reply:
    return await documents.drop(ask, PREFIX + ask.path["user"])


async def _swept(ask: Ask[TraceWanted]) -> list[Id]:
    """Whoever orders a trace takes away those that are over: they never become many. Of whom they were."""
    over, kept = time.time() - OVER_S, ask.services.documents
    gone: list[Id] = []
    for document in (await kept.list(PREFIX)).documents:
        order = documents.readable(document, TraceOrder)
        if order is not None and order.until < over and len(gone) < SWEPT:
            with contextlib.suppress(Conflict):  # ordered anew meanwhile
                await kept.delete(document.key, document.revision)
                gone.append(document.key.removeprefix(PREFIX))
    return gone


MOST = 1000
"""Shown at most."""
OVER_S = 60.0
"""Past its end a trace is taken away: clocks differ by less."""
SWEPT = 100
"""Taken away by one order at most."""
PATH = "/traces/{user}"
ROUTES = (
    Route("GET", "/traces", "traces.list", VIEWER, "traces", "Who is traced", Nothing, Traces, listed),
    Route(
        "GET", PATH, "trace.get", VIEWER, "traces", "Until when a user is traced", Nothing, TraceOrder, shown,
        has_etag=True,
    ),
    Route(
        "PUT", PATH, "trace.order", OPERATOR, "traces",
        "Every gateway logs kinds and sizes of this user's frames for so long, never a body",
        TraceWanted, TraceOrder, ordered, revised=True, has_etag=True,
    ),
    Route(
        "DELETE", PATH, "trace.end", OPERATOR, "traces", "End a trace before its time", Nothing, Gone, ended,
        revised=True, has_etag=True,
    ),
)  # fmt: skip
