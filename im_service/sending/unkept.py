"""Messages that no view keeps, where the app wants a copy of them: the event is all that is stored."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec

from im_service.context import ServiceContext
from im_service.models import decode_message
from im_service.options import ROUTE
from im_service.outbox.shapes import message_data, message_kind
from im_service.routing import env_of
from im_service.sending.pending import Pending, Unkept, wire
from im_service.storage.event_records import NewEvent


class UnkeptSends:
    """Acknowledged and published when their events are committed: others may act on what was acknowledged."""

    def __init__(self, context: ServiceContext) -> None:
        self._store = context.store
        self._on = context.teller.records("unkept")

    def wants(self, entry: Pending) -> bool:
        return self._on and bool(entry.bits & ROUTE)

    def record(self, sends: Sequence[Unkept], done: Callable[[BaseException | None], None]) -> None:
        """`done` is told in the order of the sends beside it."""
        self._store.record([self._event(send) for send in sends], done)

    def _event(self, send: Unkept) -> NewEvent:
        message = decode_message(wire(send.entry, 0, send.server_id, send.time_ms))
        return NewEvent(
            send.server_id,
            send.time_ms,
            message_kind(message.conversation),
            message.conversation,
            msgspec.json.encode(message_data(message)),
            env_of(message.options) or "",
        )
