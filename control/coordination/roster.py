"""Which lives of which nodes etcd lists: the keys `nodes/<id>` that registrations hold by their leases; and
which of them say there that they hear nothing on the bus (cut_off.py).
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from control.coordination.base import NodeInfo
from control.coordination.documents import Document, Documents
from control.coordination.replica import Replica
from control.logs import get_logger
from control.node_ids import Peer
from control.part import Part

log = get_logger("coordination")

PREFIX = "nodes/"
CUT_OFF = "cut-off/"


class _Holder(msgspec.Struct, frozen=True):
    """What a membership needs of the value (etcd/registration.py)."""

    name: str
    epoch: int = 0
    roles: tuple[str, ...] = ()


class Roster(Part):
    """Kept by a watch; `documents` are all keys of the cluster. What is listed says nothing while etcd is
    away: nobody can renew or leave then.
    """

    def __init__(self, documents: Documents) -> None:
        self._documents = documents
        self._replica = Replica(documents, PREFIX)
        self._cut_off = Replica(documents, CUT_OFF)
        self._epochs: dict[int, int] = {}
        self._roles: dict[int, tuple[str, ...]] = {}
        self._names: dict[int, str] = {}
        self._heard: list[Callable[[int], None]] = []

    async def start(self) -> None:
        await self._replica.start()
        self._replica.on_change(self._take)
        await self._cut_off.start()

    async def stop(self, grace_s: float) -> None:
        await self._cut_off.stop()
        await self._replica.stop()

    def lists(self, peer: Peer) -> bool | None:
        """Whether this life of the node is there; None while that is not known."""
        if not self._replica.complete or self._documents.problem() is not None:
            return None
        return self._epochs.get(peer[0]) == peer[1]

    def listed(self) -> list[NodeInfo] | None:
        """By node id, as far as etcd has it; None while that is not known."""
        if not self._replica.complete or self._documents.problem() is not None:
            return None
        return [
            NodeInfo(node_id, self._epochs[node_id], self._names[node_id], self._roles[node_id])
            for node_id in sorted(self._epochs)
        ]

    def is_cut_off(self, peer: Peer) -> bool:
        """This life of the node says that it hears nothing on the bus."""
        document = self._cut_off.get(f"{CUT_OFF}{peer[0]}")
        return document is not None and document.value == str(peer[1]).encode()

    def others_hear(self, role: str, own: Peer) -> bool:
        """Another node of this role is there and does not say so; False also while nobody knows."""
        if not self._cut_off.complete or self.lists(own) is None:
            return False
        return any(
            role in self._roles[node_id] and not self.is_cut_off((node_id, epoch))
            for node_id, epoch in self._epochs.items()
            if node_id != own[0]
        )

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
            self._roles.pop(node_id, None)
            self._names.pop(node_id, None)
            return
        try:
            holder = msgspec.json.decode(document.value, type=_Holder)
        except msgspec.MsgspecError:
            log.error("a node in etcd cannot be read", key=key)
            return
        self._epochs[node_id] = holder.epoch or document.revision
        self._roles[node_id] = holder.roles
        self._names[node_id] = holder.name
        for callback in self._heard:
            callback(node_id)
