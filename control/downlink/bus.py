"""The way from an im process to the gateways: one numbered stream per gateway, one batch per interested
gateway.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Sequence

from control.coordination.base import Coordination
from control.logs import get_logger
from control.node_ids import peer_of
from control.routing.base import Routes
from control.streams.batches import SMALL, Batcher, carried, encode
from control.streams.links import StreamLinks
from control.streams.operations import (
    Down,
    DownOperation,
    Heeded,
    Join,
    JoinUser,
    Kick,
    Leave,
    LeaveUser,
    Publish,
    Replies,
    Resync,
    SetBudget,
    Sync,
    down_halves,
)
from frame.constants import USER_PREFIX, RequestCode
from im_service.ports import NORMAL, Budget, Publication, Reply, Session

log = get_logger("downlink")
TOO_LARGE = encode(["the answer is too large: ask for a smaller page", {}])


class BusDownlink:
    """Implements im_service.ports.Downlink over streams. Nothing waits; a dead epoch gets nothing. What was
    for a gateway that is not there is counted in `stale`, and `owed` tells it when it comes.
    """

    def __init__(self, links: StreamLinks, routes: Routes, coordination: Coordination) -> None:
        self._links = links
        self._routes = routes
        self._coordination = coordination
        self._batcher: Batcher[DownOperation] = Batcher(self._push)
        self._owes: set[int] = set()
        self.stale = 0

    def reply(self, session: Session, type: int, request: int, code: int, payload: bytes) -> None:
        self.reply_many(session.node, [(session.conn, type, request, code, payload)])

    def reply_many(self, node: int, replies: Sequence[Reply]) -> None:
        size = sum(len(reply[4]) for reply in replies) + 32 * len(replies)
        self._to_session(node, Replies(list(replies)), size)

    def publish(
        self, topic: str, type: int, body: bytes, priority: int = NORMAL, exclude: Session | None = None
    ) -> None:
        node, conn = (exclude.node, exclude.conn) if exclude is not None else (-1, 0)
        self.publish_many(node, [(topic, type, body, priority, conn)])

    def publish_many(self, node: int, items: Sequence[Publication]) -> None:
        excluding = self._live(node) if node > 0 else None
        gateways_of, add = self._routes.gateways, self._batcher.add
        for item in items:
            topic, type_, body, priority, exclude = item
            gateways = gateways_of(topic)
            if not gateways:
                continue
            plain = Publish((topic, type_, body, priority, 0) if exclude else item)
            size = len(body) + SMALL
            for gateway in gateways:
                add(gateway, Publish(item) if exclude and gateway == excluding else plain, size)

    def join(self, session: Session, topic: str, budget: Budget | None = None) -> None:
        gateway = self._live(session.node)
        if gateway is None:
            self._undelivered(peer_of(session.node)[0])
        else:
            # The gateway will announce the topic, but only after the next publish may have been routed.
            self._routes.expect(*peer_of(session.node), topic)
            self._batcher.add(gateway, Join(session.conn, topic, budget))

    def budget(self, topic: str, budget: Budget | None) -> None:
        self._to_all(self._routes.gateways(topic), SetBudget(topic, budget))

    def leave(self, session: Session, topic: str) -> None:
        self._to_session(session.node, Leave(session.conn, topic))

    def join_user(self, user: str, topic: str) -> None:
        for gateway in self._routes.gateways(USER_PREFIX + user):
            epoch = self._coordination.epoch_of(gateway)
            if epoch is None:
                self._undelivered(gateway)
            else:
                self._routes.expect(gateway, epoch, topic)
                self._batcher.add(gateway, JoinUser(user, topic))

    def leave_user(self, user: str, topic: str) -> None:
        self._to_all(self._routes.gateways(USER_PREFIX + user), LeaveUser(user, topic))

    def kick(self, user: str, device: str | None, before_session: int, code: int, text: str) -> None:
        # A Login counts as an announcement (up_batches.py), so the routes name every gateway to be asked.
        gateways = self._routes.gateways(USER_PREFIX + user)
        self._to_all(gateways, Kick(user, device, before_session, code, text))

    def resync(self, gateway: int) -> None:
        """Words of this gateway were lost or not heeded: it shall repeat all its topics and sessions."""
        self._batcher.add(gateway, Resync())

    def sync(self, gateway: int) -> None:
        """Its topics and sessions are known again; its sessions may lack what was published meanwhile."""
        self._batcher.add(gateway, Sync())

    def heeded(self, gateway: int, number: int) -> None:
        """It took this process for dead and asked whether what is said here was said before."""
        self._batcher.add(gateway, Heeded(number))

    def gone(self, gateway: int) -> None:
        """This life of the gateway is over: what waits for it must not reach the next one."""
        if count := self._batcher.drop(gateway):
            self._undelivered(gateway, count)

    def owed(self, gateway: int) -> bool:
        """Something for this gateway was not delivered since this was asked for the last time."""
        owes = gateway in self._owes
        self._owes.discard(gateway)
        return owes

    def flush(self) -> None:
        self._batcher.flush()

    def _live(self, node: int) -> int | None:
        """The gateway id when this epoch of it is the live one."""
        gateway, epoch = peer_of(node)
        return gateway if self._coordination.epoch_of(gateway) == epoch else None

    def _undelivered(self, gateway: int, count: int = 1) -> None:
        self.stale += count
        self._owes.add(gateway)

    def _to_session(self, session_node: int, operation: DownOperation, size: int = SMALL) -> None:
        gateway = self._live(session_node)
        if gateway is None:
            self._undelivered(peer_of(session_node)[0])
        else:
            self._batcher.add(gateway, operation, size)

    def _to_all(self, gateways: Iterable[int], operation: DownOperation) -> None:
        for gateway in gateways:
            self._batcher.add(gateway, operation)

    def _push(self, gateway: int, operations: list[DownOperation]) -> None:
        epoch = self._coordination.epoch_of(gateway)
        if epoch is None:
            self._undelivered(gateway, len(operations))
        else:
            sender = self._links.sender(gateway, epoch)
            refused = functools.partial(self._too_large, gateway)
            for batch in carried(Down, operations, self._links.max_batch(), down_halves, refused):
                sender.push(batch)

    def _too_large(self, gateway: int, operation: DownOperation) -> None:
        """More than the bus carries: who asked hears so."""
        match operation:
            case Replies([(conn, type, request, _, payload)]) if payload != TOO_LARGE:
                answer = (conn, type, request, int(RequestCode.INTERNAL), TOO_LARGE)
                self._batcher.add(gateway, Replies([answer]))
            case _:
                self.stale += 1
                log.error("an operation is too large for the bus", operation=operation.__class__.__name__)
