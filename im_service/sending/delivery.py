"""From a committed message to the connections: which topics, and who is left out."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from msgspec import UNSET

from frame.constants import USER_PREFIX, FrameType
from im_service.context import ServiceContext
from im_service.live.room import RoomState
from im_service.live.route import Route
from im_service.live.users import SessionState
from im_service.models import room_event
from im_service.options import Resolved
from im_service.ports import HIGH, NORMAL, SERVER_NODE
from im_service.sending.publish_batch import PublishBatch
from im_service.storage.records import SENDER_SYNC

MSG = int(FrameType.MSG)
EVENT = int(FrameType.EVENT)


class Delivery:
    """Live delivery. Where every session of every user is known, absent users need no publish."""

    def __init__(self, context: ServiceContext) -> None:
        self._sees_all = context.sees_all
        self._spread = context.spread
        self._rooms = context.rooms
        self._clock = context.clock

    def live(
        self,
        out: PublishBatch,
        state: SessionState | None,
        route: Route,
        options: Resolved,
        server_id: int,
        message: bytes,
        blocked: bool,
        receivers: Sequence[str] | None,
    ) -> None:
        """Publish one message to those who may see it now. `blocked`: only the sender's own devices may."""
        if state is None:
            node, conn = SERVER_NODE, 0
        else:
            session = state.session
            node, conn = session.node, session.conn
        theirs = route.theirs
        if theirs is not None:
            if not blocked and (theirs.live or not self._sees_all) and not self._shut(route):
                out.publish(node, route.topic, MSG, message)
        elif route.room is not None:
            if not blocked:
                self._room(out, node, route, route.room, options, server_id, message)
            return
        elif receivers is not None:
            if not blocked:
                topics = [USER_PREFIX + user for user in receivers]
                out.then(partial(self._spread.publish, topics, MSG, message))
        elif not blocked:
            out.publish(node, route.topic, MSG, message, 0, conn)
            return
        mine = route.mine
        if options.bits & SENDER_SYNC and (
            mine is None or len(mine.live) > 1 or not self._sees_all or not conn
        ):
            out.publish(node, route.self_topic, MSG, message, 0, conn)

    def _shut(self, route: Route) -> bool:
        """Is the receiver's account disabled? Its connection may be there still, or again until the store has
        said so."""
        account = route.their_account
        return account is not None and account.disabled_ms > 0 and account.disabled_ms > self._clock.now_ms()

    def _room(
        self, out: PublishBatch, node: int, route: Route, room: RoomState, options: Resolved, server_id: int,
        message: bytes,
    ) -> None:  # fmt: skip
        """To the members, the sender's own connection too (the order of a room is the order of its topic)."""
        if room.abandons(options):
            self._rooms.dropped(room.topic, 1, 0, 0)
            return
        asked = options.options
        room.remember(message, server_id, "" if asked.tag is UNSET else asked.tag)
        topic = room.topic if asked.tag is UNSET else f"{room.topic}#{asked.tag}"
        high = asked.highPriority is True and (route.account is None or room.high(route.sender))
        out.publish(node, topic, EVENT, room_event(message), HIGH if high else NORMAL)
