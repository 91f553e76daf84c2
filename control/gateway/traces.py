"""Users whose frames this gateway writes down for a while: kinds and sizes, never what is in them."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import msgspec

from control.coordination.documents import Document, Documents
from control.coordination.replica import Replica
from control.gateway.core import CoreEvent, EventCodes
from control.gateway.traced_down import Core, TracedDown
from control.logs import get_logger
from control.part import Part
from im_service.ports import Publication, Reply

log = get_logger("trace")

PREFIX = "trace/"


class TraceOrder(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """The document `trace/<user>`. `until`: unix seconds."""

    until: float
    by: str


class Traces(Part):
    """Follows the documents. `users` is empty nearly always, and then nothing is looked at."""

    def __init__(
        self,
        documents: Documents,
        codes: EventCodes,
        core: Core,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.down = TracedDown(core)
        self.users: dict[str, float] = {}
        self._codes = codes
        self._clock = clock
        self._replica = Replica(documents, PREFIX)
        self._replica.on_change(self._on_change)

    async def start(self) -> None:
        await self._replica.start()

    async def stop(self, grace_s: float) -> None:
        await self._replica.stop(grace_s)
        await self.down.stop()

    async def tick(self) -> None:
        """Whoever is over is not looked at any more."""
        now = self._clock()
        for user in [user for user, until in self.users.items() if until <= now]:
            self._end(user)
            log.info("trace is over", user=user)
        self.down.tell_unasked()

    def logged_in(self, conn: int, user: str, device: str) -> None:
        """A session is live from now on."""
        if user in self.users:
            self.down.conns[conn] = user, device
            log.info("trace", frame="AUTH_OK", user=user, device=device, conn=f"{conn:016x}")

    def replies(self, replies: Sequence[Reply]) -> None:
        """Answers, before the core has them."""
        self.down.replies(replies)

    def publications(self, items: Sequence[Publication]) -> None:
        """Messages and events for topics, before the core has them."""
        self.down.publications(items)

    def see(self, events: Sequence[CoreEvent]) -> None:
        """Events of the core, before they are handled."""
        codes, now = self._codes, self._clock()
        for event in events:
            kind = event[0]
            if kind not in (codes.send, codes.call, codes.closed) or self.users.get(event[2], 0.0) <= now:
                continue
            _, conn, user, device, *rest = event
            where = {"user": user, "device": device, "conn": f"{conn:016x}"}
            if kind == codes.closed:
                self.down.closed(conn)
                log.info("trace", frame="CLOSED", code=rest[0], **where)
            elif kind == codes.send:
                size, request = len(rest[2]), rest[0]
                log.info("trace", frame="SEND", request=request, target=rest[1], bytes=size, **where)
            else:
                size, request = len(rest[2]), rest[0]
                log.info("trace", frame="CALL", request=request, method=rest[1], bytes=size, **where)

    def _on_change(self, key: str, document: Document | None) -> None:
        user = key.removeprefix(PREFIX)
        if document is None:
            self._end(user)
            return
        try:
            until = msgspec.json.decode(document.value, type=TraceOrder).until
            if until > self._clock():
                begins = user not in self.users
                self.users[user] = until
                if begins:
                    self.down.begin(user)
            else:
                self._end(user)
        except msgspec.MsgspecError as error:
            log.error("an order cannot be read", key=key, reason=str(error))

    def _end(self, user: str) -> None:
        if self.users.pop(user, None) is not None:
            self.down.end(user)
