"""Copies of committed messages for other systems; those of notices are made where notices are published."""

from __future__ import annotations

from msgspec import UNSET

from im_service.ids import GROUP, ROOM, SINGLE
from im_service.options import ROUTE
from im_service.outbox.ports import Copy, CopyPort
from im_service.sending.pending import Pending
from im_service.storage.records import HELD

EVENTS = {SINGLE: "message.single", GROUP: "message.group", ROOM: "message.room"}


class Copies:
    """Offers every message whose options allow it to the app's copy port."""

    def __init__(self, port: CopyPort) -> None:
        self._port = port

    def offer(self, entry: Pending, server_id: int, message: bytes) -> None:
        """One committed message. Synchronous and quick."""
        if entry.bits & ROUTE and not entry.bits & HELD:
            env = entry.options.options.env
            self._port.offer([Copy(EVENTS[entry.route.kind], None if env is UNSET else env, message)])
