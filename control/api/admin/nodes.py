"""Nodes as they tell of themselves, and their drains."""

from __future__ import annotations

import contextlib
import dataclasses
import time
from collections.abc import Mapping
from typing import Annotated

from msgspec import Meta, Struct

from control.api.admin import documents
from control.api.admin.documents import Gone, Nothing
from control.api.admin.route import Ask, Given, Reply, Route
from control.api.errors import Problem
from control.audit.entry import Id
from control.coordination.base import NodeInfo
from control.coordination.documents import Conflict, Document
from control.gateway.drain import WAITS, DrainOrder
from control.keys.api_keys import OPERATOR, VIEWER
from control.lbs.placement import why_not
from control.settings.values import LEAST_RATE

NAME = r"[A-Za-z0-9_.@:-]{1,64}"


class Progress(Struct, kw_only=True):
    """As the gateway tells: clients told, those of them who left, sessions that remain, and told a second.
    `waits`: why nobody is told now.
    """

    told: int
    left: int
    remaining: int
    rate: float
    waits: str


class DrainWanted(Given, kw_only=True):
    """`force`: also of the last gateway that takes clients, and while no other one does."""

    rate: Annotated[float, Meta(ge=LEAST_RATE, le=100_000)] = 100.0
    redirect: bool = True
    deadline_s: Annotated[int, Meta(ge=0, le=86_400)] = 60
    force: bool = False


class Node(Struct, kw_only=True):
    """`epoch` is of its start. `draining`: it is on its way out, or ordered to send its clients away."""

    node_id: int
    epoch: str
    name: str
    roles: list[str]
    address: str
    zone: str
    isp: str
    capacity: int
    connections: int
    draining: bool
    lapsed: bool
    """it lives, but etcd lists it no more"""
    clock_s: float
    """where its clock is wrong: seconds ahead of the others', behind if negative"""
    drain: DrainOrder | None
    progress: Progress | None


class NodesQuery(Given, kw_only=True):
    role: Annotated[str, Meta(max_length=16)] = ""
    after: Annotated[int, Meta(ge=0, le=1 << 20)] = 0
    limit: Annotated[int, Meta(ge=1, le=500)] = 100


class Nodes(Struct, kw_only=True):
    """By node id. `after`: give it for the next page; 0: there is none. `absent`: names of nodes that are not
    there and of which a drain is ordered. `silent`: nodes that etcd lists and the bus carries nothing of.
    """

    nodes: list[Node]
    after: int
    absent: list[str]
    silent: list[str]


async def listed(ask: Ask[NodesQuery]) -> Reply:
    asked, live = ask.given, ask.services.coordination.nodes()
    found = [
        info for info in live if info.node_id > asked.after and (not asked.role or asked.role in info.roles)
    ]
    page, orders = found[: asked.limit], await _orders(ask)
    shown = [_node(info, orders.get(info.name)) for info in page]
    names = {info.name for info in live}
    absent = sorted(name for name, order in orders.items() if name not in names and not _bound(order))
    after = page[-1].node_id if len(found) > len(page) else 0
    silent = [info.name or str(info.node_id) for info in ask.services.coordination.mute()]
    return Reply(Nodes(nodes=shown, after=after, absent=absent[: asked.limit], silent=silent[: asked.limit]))


async def _orders(ask: Ask[Given]) -> dict[str, DrainOrder | None]:
    """By name; None: of another version."""
    return {
        _name(document): documents.readable(document, DrainOrder)
        for document in (await ask.services.documents.list("drain/")).documents
    }


def _bound(order: DrainOrder | None) -> bool:
    return order is not None and order.epoch != 0


async def one(ask: Ask[Nothing]) -> Reply:
    info = known(ask)
    order, _ = await documents.read(ask, _key(ask), DrainOrder)
    return Reply(_node(info, order))


async def drain_of(ask: Ask[Nothing]) -> Reply:
    return await documents.show(ask, _key(ask), DrainOrder)


async def drain(ask: Ask[DrainWanted]) -> Reply:
    info, wanted = known(ask), ask.given
    if "gateway" not in info.roles:
        raise Problem(422, "invalid", f"{info.name} is no gateway: it has no clients to send away")
    orders = await _orders(ask)
    may_be_last = wanted.force or _drains(info, orders)
    if not may_be_last and not _takers(ask, info, orders):
        raise _last(info)
    gone = await _swept(ask)
    order = DrainOrder(
        rate=wanted.rate,
        redirect=wanted.redirect,
        deadline_s=wanted.deadline_s,
        force=wanted.force,
        since=round(time.time(), 3),
        epoch=life_of(ask, info),
    )
    reply = await documents.put(ask, _key(ask), order)
    if not may_be_last:
        await _undone_if_last(ask, info, reply)
    return dataclasses.replace(reply, ids=(("forgotten", gone),)) if gone else reply


async def _undone_if_last(ask: Ask[DrainWanted], info: NodeInfo, reply: Reply) -> None:
    """Of orders for several gateways at once each is made before the others are seen: whoever was the last to
    write sees them all. Problem 409.
    """
    kept, live = ask.services.documents, {each.name for each in ask.services.coordination.nodes("gateway")}
    there = [each for each in (await kept.list("drain/")).documents if _name(each) in live]
    orders = {_name(each): documents.readable(each, DrainOrder) for each in there}
    latest = max(there, key=lambda each: each.revision, default=None)
    if latest is None or latest.revision != reply.revision or _takers(ask, info, orders):
        return
    with contextlib.suppress(Conflict):
        await kept.delete(latest.key, latest.revision)
    raise _last(info)


def _name(document: Document) -> str:
    return document.key.partition("/")[2]


def _takers(ask: Ask[DrainWanted], info: NodeInfo, orders: Mapping[str, DrainOrder | None]) -> list[str]:
    """Other gateways that LBS names."""
    live = ask.services.coordination.nodes("gateway")
    return [
        each.name
        for each in live
        if each.node_id != info.node_id and not why_not(each) and not _drains(each, orders)
    ]


def _drains(info: NodeInfo, orders: Mapping[str, DrainOrder | None]) -> bool:
    return _node(info, orders.get(info.name)).draining


def _last(info: NodeInfo) -> Problem:
    text = f"{info.name} is the last gateway that takes clients: its own would come back (force)"
    return Problem(409, "last-gateway", text)


async def _swept(ask: Ask[DrainWanted]) -> list[Id]:
    """Orders of lives that are long over concern nobody: whoever orders takes them away. Of which nodes."""
    kept, live = ask.services.documents, {info.epoch for info in ask.services.coordination.nodes()}
    gone: list[Id] = []
    for document in (await kept.list("drain/")).documents:
        order = documents.readable(document, DrainOrder)
        if (
            order is not None
            and _bound(order)
            and order.epoch not in live
            and order.since < time.time() - OVER_S
        ):
            with contextlib.suppress(Conflict):
                await kept.delete(document.key, document.revision)
                gone.append(_name(document))
    return gone


def life_of(ask: Ask[Given], info: NodeInfo) -> int:
    """The epoch that an order of this node is bound to, 0: none. A name that follows a number of etcd goes
    over to whoever gets the number next; one of `server.node_name` stays with the node.
    """
    passes = bool(ask.services.settings.etcd.endpoints) and info.name == f"node-{info.node_id}"
    return info.epoch if passes else 0


async def undrain(ask: Ask[Nothing]) -> Reply:
    return await documents.drop(ask, _key(ask))


def _key(ask: Ask[Given]) -> str:
    return f"drain/{ask.path['node']}"


def known(ask: Ask[Given]) -> NodeInfo:
    """Problem 404."""
    name = ask.path["node"]
    for info in ask.services.coordination.nodes():
        if info.name == name:
            return info
    raise Problem(404, "not-found", f"no node {name} is there")


def _node(info: NodeInfo, order: DrainOrder | None) -> Node:
    order = order if order is not None and order.epoch in (0, info.epoch) else None
    return Node(
        node_id=info.node_id,
        epoch=str(info.epoch),
        name=info.name,
        roles=list(info.roles),
        address=f"{info.host}:{info.port}" if info.port else "",
        zone=info.zone,
        isp=info.isp,
        capacity=info.capacity,
        connections=info.connections,
        draining=info.draining or order is not None,
        lapsed=info.lapsed,
        clock_s=round(info.clock_s, 1),
        drain=order,
        progress=_progress(info),
    )


def _progress(info: NodeInfo) -> Progress | None:
    if info.drain is None:
        return None
    told, left, remaining, rate = info.drain
    waits = WAITS if info.waits else ""
    return Progress(told=told, left=left, remaining=remaining, rate=rate, waits=waits)


OVER_S = 3600.0
"""So long a node may not be heard and be there all the same."""
PATTERNS = {"node": NAME}
DRAIN = "/nodes/{node}/drain"
ROUTES = (
    Route("GET", "/nodes", "nodes.list", VIEWER, "nodes", "Live processes", NodesQuery, Nodes, listed),
    Route(
        "GET", "/nodes/{node}", "nodes.get", VIEWER, "nodes", "One live process, by its name",
        Nothing, Node, one, patterns=PATTERNS,
    ),
    Route(
        "GET", DRAIN, "drain.get", VIEWER, "nodes", "The drain that is ordered of a gateway",
        Nothing, DrainOrder, drain_of, has_etag=True, patterns=PATTERNS,
    ),
    Route(
        "PUT", DRAIN, "drain.order", OPERATOR, "nodes",
        "Send the clients of a gateway elsewhere, at a rate; LBS names it to nobody any more",
        DrainWanted, DrainOrder, drain, revised=True, has_etag=True, patterns=PATTERNS,
    ),
    Route(
        "DELETE", DRAIN, "drain.end", OPERATOR, "nodes", "Undrain: who has not left may stay",
        Nothing, Gone, undrain, revised=True, has_etag=True, patterns=PATTERNS,
    ),
)  # fmt: skip
