"""What the im processes say over the bus, done at the core of this gateway."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from control.gateway.fences import Fences
from control.node_ids import Peer
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
)
from frame.constants import ROOM_PREFIX
from im_service.ports import Downlink, Publication, Reply, Session


class DownBatches:
    """Applies Down batches to `downlink`, which is the one of this process; `control.downlink.bus` writes
    them. `resync(im)` is asked of the sessions and topics held here, `sync()` of their clients;
    `answered` says what is told of replies; `left(im, conn, topic)` hears of each Leave. What an im process
    that was taken for dead says of who enters and leaves rooms is not done until it is heeded again; whom it
    puts out is out.
    """

    def __init__(
        self,
        node: int,
        downlink: Downlink,
        resync: Callable[[int], None],
        sync: Callable[[], None],
        answered: Callable[[Sequence[Reply]], Sequence[Reply]],
        left: Callable[[int, int, str], None],
        fences: Fences,
    ) -> None:
        self._node = node
        self._downlink = downlink
        self._resync = resync
        self._sync = sync
        self._answered = answered
        self._left = left
        self._fences = fences

    def apply(self, peer: Peer, batch: Down) -> None:
        """One batch of an im process, in stream order; publications in a row become one."""
        publications: list[Publication] = []
        for operation in batch.operations:
            if type(operation) is Publish:
                publications.append(operation.publication)
                continue
            if publications:
                self._downlink.publish_many(self._node, publications)
                publications = []
            self._apply(peer, operation)
        if publications:
            self._downlink.publish_many(self._node, publications)

    def _apply(self, peer: Peer, operation: DownOperation) -> None:
        down = self._downlink
        match operation:
            case Join() | Leave() if self._outdated(peer, operation.topic):
                return
            case Replies():
                down.reply_many(self._node, self._answered(operation.replies))
            case Join():
                down.join(Session(self._node, operation.conn, "", ""), operation.topic, operation.budget)
            case SetBudget():
                down.budget(operation.topic, operation.budget)
            case Leave():
                down.leave(Session(self._node, operation.conn, "", ""), operation.topic)
                self._left(peer[0], operation.conn, operation.topic)
            case JoinUser():
                down.join_user(operation.user, operation.topic)
            case LeaveUser():
                down.leave_user(operation.user, operation.topic)
            case Kick(user, device, before_session, code, text):
                down.kick(user, device, before_session, code, text)
            case Resync():
                self._resync(peer[0])
            case Sync():
                self._sync()
            case Heeded(number):
                self._fences.heeded(peer, number)

    def _outdated(self, peer: Peer, topic: str) -> bool:
        return topic.startswith(ROOM_PREFIX) and not self._fences.heeds(peer)
