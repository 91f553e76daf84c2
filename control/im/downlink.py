"""The way from an im process to the gateways: one numbered stream per gateway, one batch per interested
gateway.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from control.coordination.base import Coordination
from control.routing.base import Routes
from control.streams.links import StreamLinks
from control.streams.operations import Batcher, Down, encode
from im_service.ports import Publication, Reply, Session

NODE_BITS = 8


def node_key(node_id: int, epoch: int) -> int:
    """`Session.node` over the bus: it names one epoch of a gateway, so that an answer for a connection of a
    process that is gone can never reach a connection of its successor."""
    return epoch << NODE_BITS | node_id


class BusDownlink:
    """Implements im_service.ports.Downlink over streams. Nothing waits; a dead epoch gets nothing."""

    def __init__(self, links: StreamLinks, routes: Routes, coordination: Coordination) -> None:
        self._links = links
        self._routes = routes
        self._coordination = coordination
        self._batcher = Batcher(self._push)
        self.stale = 0

    def reply(self, session: Session, type: int, request: int, code: int, payload: bytes) -> None:
        self.reply_many(session.node, [(session.conn, type, request, code, payload)])

    def reply_many(self, node: int, replies: Sequence[Reply]) -> None:
        self._to_session(node, [Down.REPLIES, replies])

    def publish(
        self, topic: str, type: int, body: bytes, priority: int = 0, exclude: Session | None = None
    ) -> None:
        node, conn = (exclude.node, exclude.conn) if exclude is not None else (-1, 0)
        self.publish_many(node, [(topic, type, body, priority, conn)])

    def publish_many(self, node: int, items: Sequence[Publication]) -> None:
        excluding = self._live(node) if node > 0 else None
        add = self._batcher.add
        for topic, type_, body, priority, exclude in items:
            gateways = self._routes.gateways(topic)
            if not gateways:
                continue
            plain = encode([Down.PUBLISH, topic, type_, body, priority, 0])
            for gateway in gateways:
                if exclude and gateway == excluding:
                    add(gateway, encode([Down.PUBLISH, topic, type_, body, priority, exclude]))
                else:
                    add(gateway, plain)

    def join(self, session: Session, topic: str) -> None:
        gateway = self._live(session.node)
        if gateway is not None:
            # The gateway will announce the topic, but only after the next publish may have been routed.
            self._routes.announce(gateway, session.node >> NODE_BITS, (topic,))
            self._batcher.add(gateway, encode([Down.JOIN, session.conn, topic]))

    def leave(self, session: Session, topic: str) -> None:
        self._to_session(session.node, [Down.LEAVE, session.conn, topic])

    def join_user(self, user: str, topic: str) -> None:
        for gateway in self._routes.gateways("u/" + user):
            epoch = self._coordination.epoch_of(gateway)
            if epoch is not None:
                self._routes.announce(gateway, epoch, (topic,))
                self._batcher.add(gateway, encode([Down.JOIN_USER, user, topic]))

    def leave_user(self, user: str, topic: str) -> None:
        self._to_all(self._routes.gateways("u/" + user), [Down.LEAVE_USER, user, topic])

    def kick(self, user: str, device: str | None, before_session: int, code: int, text: str) -> None:
        # A LOGIN counts as an announcement (gateways.py), so the routes name every gateway to be asked.
        gateways = self._routes.gateways("u/" + user)
        self._to_all(gateways, [Down.KICK, user, device, before_session, code, text])

    def ask(self, gateway: int) -> None:
        """Words of this gateway were lost or not heeded: it shall tell all its topics and sessions again."""
        self._batcher.add(gateway, encode([Down.TELL]))

    def sync(self, gateway: int) -> None:
        """Its topics and sessions are known again; its sessions may lack what was published meanwhile."""
        self._batcher.add(gateway, encode([Down.SYNC]))

    def flush(self) -> None:
        self._batcher.flush()

    def _live(self, node: int) -> int | None:
        """The gateway id when this epoch of it is the live one."""
        gateway = node & (1 << NODE_BITS) - 1
        return gateway if self._coordination.epoch_of(gateway) == node >> NODE_BITS else None

    def _to_session(self, node: int, operation: list[object]) -> None:
        gateway = self._live(node)
        if gateway is None:
            self.stale += 1
        else:
            self._batcher.add(gateway, encode(operation))

    def _to_all(self, gateways: Iterable[int], operation: list[object]) -> None:
        encoded = encode(operation)
        for gateway in gateways:
            self._batcher.add(gateway, encoded)

    def _push(self, gateway: int, batch: bytes) -> None:
        epoch = self._coordination.epoch_of(gateway)
        if epoch is None:
            self.stale += 1
        else:
            self._links.sender(gateway, epoch).push(batch)
