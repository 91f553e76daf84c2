"""The im process's end of the streams: operations of the gateways become calls of the message service."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, ClassVar, Protocol

from control.coordination.base import NodeInfo
from control.gateway.core import MessageService
from control.im.downlink import node_key
from control.logs import get_logger
from control.routing.base import Routes
from control.streams.operations import Up
from im_service.ports import Session

log = get_logger("im")

GATEWAY_GONE = 2002
LOGOUT_LOST = 0


class SessionService(MessageService, Protocol):
    """The message service, and what it knows of a gateway's sessions."""

    def sessions_at(self, node: int) -> list[Session]: ...
    def on_session(self, session: Session, platform: int, session_id: int) -> None: ...


class ImNode:
    """Applies batches of gateways to the service, and keeps the routes.

    `settled(gateway)` says that a gateway that was asked has told all its topics and sessions.
    """

    def __init__(self, service: SessionService, routes: Routes, settled: Callable[[int], None]) -> None:
        self._service = service
        self._routes = routes
        self._settled = settled
        self._told: dict[int, set[int]] = {}  # connections of a telling under way

    def apply(self, peer_id: int, peer_epoch: int, operations: list[list[Any]]) -> None:
        """One batch of one gateway epoch, in stream order."""
        node = node_key(peer_id, peer_epoch)
        for operation in operations:
            handler = self._handlers.get(operation[0])
            if handler is None:
                log.warning("operation not known", operation=operation[0], peer_id=peer_id)
                continue
            handler(self, node, operation[1:])

    def gateway_came(self, info: NodeInfo) -> bool:
        """A gateway epoch lives. True when it was taken for dead: it only stood still, and has to be asked
        for what it holds."""
        return self._routes.restore(info.node_id, info.epoch)

    def gateway_gone(self, info: NodeInfo) -> None:
        """A gateway epoch is dead: nothing is routed there, its sessions are logged out."""
        self._routes.expire(info.node_id, info.epoch)
        self._told.pop(node_key(info.node_id, info.epoch), None)
        for session in self._service.sessions_at(node_key(info.node_id, info.epoch)):
            self._service.on_logout(session, GATEWAY_GONE)

    def lost(self, gateway: int) -> None:
        """Batches of this gateway are lost. A telling with a hole in it is no truth: the next one counts."""
        self._told = {node: told for node, told in self._told.items() if _peer(node)[0] != gateway}

    def _sends(self, node: int, operation: list[Any]) -> None:
        self._service.on_sends(
            [
                (Session(node, conn, user, device), request, target, payload)
                for conn, user, device, request, target, payload in operation[0]
            ]
        )

    def _call(self, node: int, operation: list[Any]) -> None:
        conn, user, device, request, method, payload = operation
        self._service.on_call(Session(node, conn, user, device), request, method, payload)

    def _login(self, node: int, operation: list[Any]) -> None:
        conn, user, device, platform, session_id = operation
        if node in self._told:
            self._told[node].add(conn)
        # The announcement follows, but a kick or a message may come before it.
        self._routes.announce(*_peer(node), ("u/" + user,))
        self._service.on_login(Session(node, conn, user, device), platform, session_id)

    def _logout(self, node: int, operation: list[Any]) -> None:
        conn, user, device, code = operation
        self._service.on_logout(Session(node, conn, user, device), code)

    def _announce(self, node: int, operation: list[Any]) -> None:
        self._routes.announce(*_peer(node), _strings(operation[0]))

    def _withdraw(self, node: int, operation: list[Any]) -> None:
        self._routes.withdraw(*_peer(node), _strings(operation[0]))

    def _replace(self, node: int, operation: list[Any]) -> None:
        self._routes.replace(*_peer(node), _strings(operation[0]))

    def _telling(self, node: int, operation: list[Any]) -> None:
        self._told[node] = set()

    def _session(self, node: int, operation: list[Any]) -> None:
        conn, user, device, platform, session_id, mine = operation
        if node not in self._told:
            return
        self._told[node].add(conn)
        if mine:
            self._routes.announce(*_peer(node), ("u/" + user,))
            self._service.on_session(Session(node, conn, user, device), platform, session_id)

    def _all_told(self, node: int, operation: list[Any]) -> None:
        told = self._told.pop(node, None)
        if told is None:
            return
        for session in self._service.sessions_at(node):
            if session.conn not in told:
                self._service.on_logout(session, LOGOUT_LOST)
        self._settled(_peer(node)[0])

    _handlers: ClassVar[dict[int, Callable[[ImNode, int, list[Any]], None]]] = {
        Up.SENDS: _sends,
        Up.CALL: _call,
        Up.LOGIN: _login,
        Up.LOGOUT: _logout,
        Up.ANNOUNCE: _announce,
        Up.WITHDRAW: _withdraw,
        Up.REPLACE: _replace,
        Up.TELLING: _telling,
        Up.SESSION: _session,
        Up.TOLD: _all_told,
    }


def _peer(node: int) -> tuple[int, int]:
    return node & 0xFF, node >> 8


def _strings(values: Iterable[object]) -> list[str]:
    return [value for value in values if isinstance(value, str)]
