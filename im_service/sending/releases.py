"""A message that was held goes where it would have gone: to the connections, the pushes and the copies."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from im_service.context import ServiceContext
from im_service.sending.admission import PASSED
from im_service.sending.delivery import Delivery
from im_service.sending.pending import AfterCommit, wire
from im_service.sending.publish_batch import PublishBatch
from im_service.sending.read_back import ReadBack
from im_service.storage.records import StoredMessage


class Releases:
    """Publishes stored messages that nobody but their senders had."""

    def __init__(self, context: ServiceContext, back: ReadBack, after: Sequence[AfterCommit]) -> None:
        self._downlink = context.downlink
        self._delivery = Delivery(context)
        self._back = back
        self._after = tuple(after)

    @contextmanager
    def under_way(self) -> Iterator[None]:
        """From before the commit of a release until it is published."""
        begun = [follower.unfinished.begin() for follower in self._after]
        try:
            yield
        finally:
            for each in begun:
                each.done()

    async def publish(self, row: StoredMessage) -> None:
        """To everybody who is there and may see it. Raises ImError where there is no such place any more."""
        entry = await self._back.entry(row)
        route, options = entry.route, entry.options
        seq = row.seq if route.room is None or route.room.keeps(options) else 0
        message = wire(entry, seq, row.server_id, row.time_ms)
        out = PublishBatch()
        hidden = entry.verdict != PASSED
        self._delivery.live(out, None, route, options, row.server_id, message, hidden, entry.receivers)
        for follower in self._after:
            follower.offer(entry, row.server_id, message)
        out.flush(self._downlink)
