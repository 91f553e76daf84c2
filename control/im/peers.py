"""im processes tell each other what changed, so that nobody goes on with an old answer from its memory."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import msgspec

from control.bus.base import Bus
from control.logs import get_logger
from control.node_ids import Peer
from control.part import Part

log = get_logger("peers")

SUBJECT = "changed"
_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(tuple[int, int, str, str]).decode


class BusPeers(Part):
    """Implements im_service.ports.PeersPort over the bus. A lost word costs staleness until the next change;
    what matters is decided by the store, in the transaction. Started after the service, which reads again.
    """

    def __init__(self, bus: Bus, own: Peer, refresh: Callable[[str, str], Awaitable[None]]) -> None:
        self._bus = bus
        self._own = own
        self._refresh = refresh
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        await self._bus.subscribe(SUBJECT, self._heard)

    def changed(self, kind: str, key: str) -> None:
        self._bus.publish(SUBJECT, _encode((*self._own, kind, key)))

    def _heard(self, payload: bytes) -> None:
        node, epoch, kind, key = _decode(payload)
        if (node, epoch) == self._own:
            return
        task = asyncio.get_running_loop().create_task(self._take(kind, key))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _take(self, kind: str, key: str) -> None:
        try:
            await self._refresh(kind, key)
        except Exception:
            log.exception("a change of a peer could not be read again", kind=kind)
