"""A message that was held goes where it would have gone: to the connections, the pushes and the copies."""

from __future__ import annotations

from collections.abc import Sequence

from frame.constants import SINGLE_PREFIX, USER_PREFIX
from im_service.context import ServiceContext
from im_service.ids import peer_of
from im_service.live.route import Route
from im_service.models import message_bytes, unpack_payload
from im_service.options import STORED, OptionTable, Resolved
from im_service.sending.admission import PASSED, SILENTLY_BLOCKED
from im_service.sending.delivery import Delivery
from im_service.sending.judging import Judge
from im_service.sending.pending import AfterCommit, Pending
from im_service.sending.publish_batch import PublishBatch
from im_service.sending.resolve import RouteResolver
from im_service.storage.records import RECEIVER_NO_SENSE, StoredMessage


class Releases:
    """Publishes stored messages that nobody but their senders had."""

    def __init__(self, context: ServiceContext, judge: Judge, after: Sequence[AfterCommit]) -> None:
        self._store = context.store
        self._clock = context.clock
        self._downlink = context.downlink
        self._routes = RouteResolver(context)
        self._delivery = Delivery(context)
        self._judge = judge
        self._after = tuple(after)
        self._options = OptionTable()

    async def publish(self, row: StoredMessage) -> None:
        """To everybody who is there and may see it. Raises ImError where there is no such place any more."""
        talk, target = row.conversation, row.conversation
        if talk.startswith(SINGLE_PREFIX):
            target = USER_PREFIX + peer_of(talk, row.sender)
        route = await self._routes.make(row.sender, target, None)
        options = self._options.resolve(unpack_payload(row.payload)[1], route.kind)
        receivers = None if route.group is None else await self._receivers(route, options, row)
        hidden = route.peer is not None and await self._hidden(row, route.peer)
        verdict = SILENTLY_BLOCKED if hidden else PASSED
        entry = Pending(route, row.client_id, row.type, row.payload, options, verdict, receivers=receivers)
        seq = row.seq if route.room is None or route.room.keeps(options) else 0
        message = message_bytes(
            talk, seq, row.server_id, row.time_ms, row.sender, row.client_id, row.type, row.payload
        )
        out = PublishBatch()
        self._delivery.live(out, None, route, options, row.server_id, message, hidden, receivers)
        for follower in self._after:
            follower.offer(entry, row.server_id, message)
        out.flush(self._downlink)

    async def _hidden(self, row: StoredMessage, peer: str) -> bool:
        """Does the log not show it to the other one of a single chat, who cleared it or has lost it again?"""
        if _live_only(row):
            return False
        return peer not in (await self._store.audience(row.conversation, row.seq, self._clock.now_ms())).users

    async def _receivers(self, route: Route, options: Resolved, row: StoredMessage) -> Sequence[str] | None:
        """Who of a group gets it one by one, None = everybody: those of now to whom the log shows it."""
        if _live_only(row):
            return await self._judge.receivers(None, route, options)
        found = await self._store.audience(row.conversation, row.seq, self._clock.now_ms())
        if found.everybody and not self._judge.picks(None, route, options):
            return None
        if found.everybody:
            return await self._judge.receivers(None, route, options)
        return [user for user in found.users if user != row.sender]


def _live_only(row: StoredMessage) -> bool:
    """The log shows it to no receiver, whoever they are."""
    return not row.bits & STORED or bool(row.bits & RECEIVER_NO_SENSE)
