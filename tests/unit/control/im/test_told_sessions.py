"""What an im process makes of a gateway that tells its sessions again."""

from __future__ import annotations

from typing import Any

import pytest

from control.coordination.base import NodeInfo
from control.im.downlink import node_key
from control.im.gateways import ImNode
from control.routing.memory import MemoryRoutes
from control.streams.operations import Up
from im_service.ports import Session

GATEWAY = NodeInfo(2, 10, "", ("gateway",))
NODE = node_key(2, 10)


class Service:
    """A message service that only knows who is logged in."""

    def __init__(self) -> None:
        self.known: dict[int, Session] = {}

    def on_login(self, session: Session, platform: int, session_id: int) -> None:
        self.known[session.conn] = session

    def on_session(self, session: Session, platform: int, session_id: int) -> None:
        self.known.setdefault(session.conn, session)

    def on_logout(self, session: Session, code: int) -> None:
        self.known.pop(session.conn, None)

    def sessions_at(self, node: int) -> list[Session]:
        return [session for session in self.known.values() if session.node == node]

    def on_sends(self, batch: Any) -> None: ...

    def on_call(self, session: Session, request: int, method: str, payload: bytes) -> None: ...


class World:
    def __init__(self) -> None:
        self.service, self.routes, self.settled = Service(), MemoryRoutes(), list[int]()
        self.node = ImNode(self.service, self.routes, self.settled.append)

    def hear(self, *operations: list[Any]) -> None:
        self.node.apply(2, 10, [list(operation) for operation in operations])

    @property
    def conns(self) -> list[int]:
        return sorted(self.service.known)


def login(conn: int) -> list[Any]:
    return [Up.LOGIN, conn, f"u{conn}", "d", 6, conn]


def session(conn: int, mine: bool = True) -> list[Any]:
    return [Up.SESSION, conn, f"u{conn}", "d", 6, conn, mine]


def logout(conn: int) -> list[Any]:
    return [Up.LOGOUT, conn, f"u{conn}", "d", 1000]


def test_lost_logins_and_logouts_are_made_good() -> None:
    world = World()
    world.hear(login(1), login(2))  # of 2 the logout is lost, of 3 the login
    world.hear([Up.TELLING], session(1), session(3), login(4), [Up.REPLACE, ["u/u1"]], [Up.TOLD])
    assert world.conns == [1, 3, 4]
    assert world.settled == [2]


def test_who_left_while_it_was_told_is_gone_and_other_processes_sessions_are_left_alone() -> None:
    world = World()
    world.hear(login(1), login(2))
    world.hear([Up.TELLING], session(1, mine=False), session(2), logout(2), session(5, mine=False), [Up.TOLD])
    assert world.conns == [1], "1 logged in here before its user moved, 5 never did"


def test_a_telling_with_a_hole_counts_for_nothing() -> None:
    world = World()
    world.hear(login(1), login(2))
    world.hear([Up.TELLING], session(1))
    world.node.lost(2)
    world.hear(session(3), [Up.TOLD])
    assert world.conns == [1, 2]
    assert world.settled == []
    world.hear([Up.TELLING], session(1), [Up.TOLD])
    assert world.conns == [1]


@pytest.mark.parametrize("told_again", [True, False])
def test_a_gateway_taken_for_dead_is_asked_when_it_is_back(told_again: bool) -> None:
    world = World()
    world.hear(login(1), [Up.ANNOUNCE, ["r/hall"]])
    assert not world.node.gateway_came(GATEWAY)
    world.node.gateway_gone(GATEWAY)
    world.hear([Up.ANNOUNCE, ["r/hall"]])
    assert (world.conns, world.routes.gateways("r/hall")) == ([], ()), "a dead epoch is not heeded"
    assert world.node.gateway_came(GATEWAY)
    assert not world.node.gateway_came(GATEWAY), "asked once"
    if told_again:
        world.hear([Up.TELLING], session(1), [Up.REPLACE, ["u/u1", "r/hall"]], [Up.TOLD])
        assert (world.conns, world.routes.gateways("r/hall")) == ([1], (2,))
    world.node.gateway_gone(GATEWAY)
    assert (world.conns, world.routes.size()) == ([], 0)
