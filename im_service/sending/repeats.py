"""A repeated send whose first commit nobody answered: its message is stored, and nobody may know."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence

from im_service.context import ServiceContext
from im_service.errors import REFUSALS, Code, ImError
from im_service.live.route import Route
from im_service.models import encode, stored_bytes
from im_service.ports import Session
from im_service.sending.admission import PASSED, SILENTLY_BLOCKED
from im_service.sending.delivery import Delivery
from im_service.sending.pending import SEND_ACK, AfterCommit, Pending
from im_service.sending.publish_batch import PublishBatch
from im_service.storage.errors import StoreError
from im_service.storage.records import FILTERED, RECEIVER_NO_SENSE

MAX_LOOKS = 1000
"""Rejected sends that are looked up at once; more are refused unseen."""
_log = logging.getLogger("qianwan.im")


class Repeats:
    """Publishes what a repeat found in the log, unless this process knows that it has done so.

    It knows of what it numbered itself and saw committed. Whoever has the message tells it by its seq.
    Chatrooms are left out: their messages are for those who were there.
    """

    def __init__(self, context: ServiceContext, delivery: Delivery, after: Sequence[AfterCommit]) -> None:
        self._store = context.store
        self._ids = context.ids
        self._downlink = context.downlink
        self._delivery = delivery
        self._after = after
        self._unknown_up_to = 0
        self._tasks: set[asyncio.Task[None]] = set()

    def unknown_up_to(self, server_id: int) -> None:
        """A commit failed: what has this number or a lower one may be stored nevertheless."""
        self._unknown_up_to = max(self._unknown_up_to, server_id)

    def accepted(self, entry: Pending, server_id: int, seq: int) -> None:
        """The message of this send was there already."""
        published = server_id > self._unknown_up_to and self._ids.made(server_id)
        if published or entry.route.room is not None:
            return
        task = asyncio.get_running_loop().create_task(self._publish(entry, server_id, seq))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def rejected(
        self, session: Session, request: int, route: Route, client_id: str, digest: bytes, error: ImError
    ) -> None:
        """A hook says no to it today. What is stored already is answered as the first time."""
        if len(self._tasks) >= MAX_LOOKS:
            self._downlink.reply(session, SEND_ACK, request, error.code, error.payload())
            return
        look = self._look(session, request, (route.sender, client_id, route.conversation, digest), error)
        task = asyncio.get_running_loop().create_task(look)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _look(
        self, session: Session, request: int, key: tuple[str, str, str, bytes], error: ImError
    ) -> None:
        code, payload = int(error.code), error.payload()
        try:
            if found := await self._store.sent_before(*key):
                code, payload = 0, encode(found)
        except StoreError:
            code, payload = int(Code.UNAVAILABLE), REFUSALS[Code.UNAVAILABLE]
        self._downlink.reply(session, SEND_ACK, request, code, payload)

    async def _publish(self, entry: Pending, server_id: int, seq: int) -> None:
        """As it is stored now: it may have been recalled since."""
        try:
            for row in await self._store.find(entry.route.conversation, [seq]):
                if row.flags & FILTERED:
                    continue
                message, out = stored_bytes(row), PublishBatch()
                # What was said of the first counts: the verdict of today is about a message that is none.
                hidden = row.bits & RECEIVER_NO_SENSE & ~entry.options.bits
                entry.verdict = SILENTLY_BLOCKED if hidden else PASSED
                self._delivery.live(
                    out,
                    entry.state,
                    entry.route,
                    entry.options,
                    server_id,
                    message,
                    bool(hidden),
                    entry.receivers,
                )
                for follower in self._after:
                    follower.offer(entry, server_id, message)
                out.flush(self._downlink)
        except Exception:
            _log.exception("a repeated message could not be published")

    async def close(self) -> None:
        """Wait until what was begun is published."""
        while self._tasks:
            await asyncio.gather(*self._tasks, return_exceptions=True)
