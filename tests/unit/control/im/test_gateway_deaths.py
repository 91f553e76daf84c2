"""What an im process makes of the death of a gateway."""

from __future__ import annotations

import asyncio
import itertools
import time
from typing import Any

from control.coordination.base import NodeInfo
from control.im.route_check import RouteCheck
from control.im.up_batches import UpBatches
from control.node_ids import node_key
from control.routing.compact import CompactRoutes
from control.streams.operations import Login, Logout, Up
from im_service.live.sessions import Sessions
from im_service.ports import Session
from im_service.turns import SLICE


class Service:
    """Keeps sessions as the im service does, and what it was told."""

    def __init__(self) -> None:
        self.calls: list[tuple[Any, ...]] = []
        self.sessions = Sessions()

    def on_login(self, session: Session, platform: int, session_id: int, moved: bool = False) -> None:
        self.sessions.add(session, platform, session_id)

    def on_logout(self, session: Session, code: int) -> None:
        self.sessions.remove(session)
        self.calls.append(("on_logout", session))

    def sessions_at(self, node: int) -> list[Session]:
        return self.sessions.at(node)

    def strays_at(self, node: int) -> list[Session]:
        return self.sessions.strays_at(node)

    def __getattr__(self, name: str) -> Any:
        return lambda *arguments: self.calls.append((name, *arguments))


MANY = 3 * SLICE


def up_batches(service: Service, routes: CompactRoutes | None = None) -> UpBatches:
    routes = routes or CompactRoutes()
    check = RouteCheck(routes, lambda *peer: 0, lambda gateway: None, time.monotonic)
    return UpBatches(service, routes, check, lambda gateway: None)


def crowd(batches: UpBatches, service: Service) -> NodeInfo:
    """A gateway with very many sessions."""
    gateway = NodeInfo(2, 10, "", ("gateway",))
    batches.gateway_came(gateway)
    for conn in range(MANY):
        batches.apply((2, 10), Up([Login(Session(node_key(2, 10), conn, f"u{conn}", "d"), 0, conn + 1)]))
    service.calls.clear()
    return gateway


async def test_very_many_sessions_of_a_gateway_that_died_end_in_slices() -> None:
    service = Service()
    batches = up_batches(service)
    batches.gateway_gone(crowd(batches, service))
    ended = [len(service.calls)]
    while service.sessions.count:
        await asyncio.sleep(0)
        ended.append(len(service.calls))
    assert ended[-1] == MANY
    assert max(b - a for a, b in itertools.pairwise([0, *ended])) <= SLICE


async def test_of_a_gateway_that_only_stood_still_whoever_is_not_ended_yet_goes_on() -> None:
    service = Service()
    batches = up_batches(service)
    gateway = crowd(batches, service)
    batches.gateway_gone(gateway)
    assert batches.gateway_came(gateway)
    for _ in range(9):
        await asyncio.sleep(0)
    assert service.sessions.count == MANY - SLICE


def test_the_death_of_a_gateway_logs_its_sessions_out_and_no_others() -> None:
    service, routes = Service(), CompactRoutes()
    batches = up_batches(service, routes)
    for epoch, conn in ((10, 1), (10, 2), (11, 1)):
        batches.gateway_came(NodeInfo(2, epoch, "", ("gateway",)))
        batches.apply((2, epoch), Up([Login(Session(node_key(2, epoch), conn, "u", "d"), 0, 1)]))
    batches.apply((2, 10), Up([Logout(Session(node_key(2, 10), 2, "u", "d"), 1000)]))
    batches.gateway_gone(NodeInfo(2, 10, "", ("gateway",)))
    outs = [call[1] for call in service.calls if call[0] == "on_logout"]
    assert [(out.node, out.conn) for out in outs] == [(node_key(2, 10), 2), (node_key(2, 10), 1)]
    assert [(left.node, left.conn) for left in service.sessions_at(node_key(2, 11))] == [(node_key(2, 11), 1)]
    assert service.sessions.count == 1
