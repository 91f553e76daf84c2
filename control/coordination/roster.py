"""Which lives of which nodes etcd lists: the keys `nodes/<id>` that registrations hold by their leases."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from control.coordination.documents import Document, Documents
from control.coordination.replica import Replica
from control.logs import get_logger
from control.node_ids import Peer
from control.part import Part

log = get_logger("coordination")

PREFIX = "nodes/"


class _Holder(msgspec.Struct, frozen=True):
    """What a membership needs of the value (etcd/registration.py)."""

    name: str
    epoch: int = 0


class Roster(Part):
    """Kept by a watch; `documents` are all keys of the cluster. What is listed says nothing while etcd is
    away: nobody can renew or leave then.
    """

    def __init__(self, documents: Documents) -> None:
        self._documents = documents
        self._replica = Replica(documents, PREFIX)
        self._epochs: dict[int, int] = {}
        self._heard: list[Callable[[int], None]] = []

    async def start(self) -> None:
        await self._replica.start()
        self._replica.on_change(self._take)

    async def stop(self, grace_s: float) -> None:
        await self._replica.stop()

    def lists(self, peer: Peer) -> bool | None:
        """Whether this life of the node is there; None while that is not known."""
        if not self._replica.complete or self._documents.problem() is not None:
            return None
        return self._epochs.get(peer[0]) == peer[1]

    def is_over(self, peer: Peer) -> bool:
        """A later life of the node has been listed: whatever this one says is late."""
        return self._epochs.get(peer[0], 0) > peer[1]

    def on_change(self, callback: Callable[[int], None]) -> None:
        """Call `callback(node id)` for each that came, or came anew."""
        self._heard.append(callback)

    def _take(self, key: str, document: Document | None) -> None:
        number = key.removeprefix(PREFIX)
        if not number.isdecimal():
            return
        node_id = int(number)
        if document is None:
            self._epochs.pop(node_id, None)
            return
        try:
            holder = msgspec.json.decode(document.value, type=_Holder)
        except msgspec.MsgspecError:
            log.error("a node in etcd cannot be read", key=key)
            return
        self._epochs[node_id] = holder.epoch or document.revision
        for callback in self._heard:
            callback(node_id)
