"""A stored message as the send that it was: where it goes, and who of its receivers sees it now."""

from __future__ import annotations

from collections.abc import Sequence

from frame.constants import SINGLE_PREFIX, USER_PREFIX
from im_service.context import ServiceContext
from im_service.ids import peer_of
from im_service.live.route import Route
from im_service.models import unpack_payload
from im_service.options import STORED, OptionTable, Resolved
from im_service.sending.admission import PASSED, SILENTLY_BLOCKED
from im_service.sending.judging import Judge
from im_service.sending.pending import Pending
from im_service.sending.resolve import RouteResolver
from im_service.storage.records import RECEIVER_NO_SENSE, StoredMessage


class ReadBack:
    """Of messages whose sends are over."""

    def __init__(self, context: ServiceContext, judge: Judge) -> None:
        self._store = context.store
        self._clock = context.clock
        self._routes = RouteResolver(context)
        self._judge = judge
        self._options = OptionTable()

    async def entry(self, row: StoredMessage) -> Pending:
        """Its verdict is SILENTLY_BLOCKED where the other one of a single chat does not see it. Raises
        ImError where there is no such place any more."""
        talk, target = row.conversation, row.conversation
        if talk.startswith(SINGLE_PREFIX):
            target = USER_PREFIX + peer_of(talk, row.sender)
        route = await self._routes.make(row.sender, target, None)
        options = self._options.resolve(unpack_payload(row.payload)[1], route.kind)
        receivers = None if route.group is None else await self._receivers(route, options, row)
        hidden = route.peer is not None and await self._hidden(row, route.peer)
        verdict = SILENTLY_BLOCKED if hidden else PASSED
        return Pending(route, row.client_id, row.type, row.payload, options, verdict, receivers=receivers)

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
