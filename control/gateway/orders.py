"""What operators order of this gateway, by documents of the cluster: its drain, and who is let in."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import msgspec

from control.coordination.documents import Conflict, Document, Documents, DocumentsUnavailable
from control.coordination.replica import Replica
from control.gateway.admission import Admission, StormOrder
from control.gateway.drain import DrainOrder
from control.logs import get_logger
from control.part import Part

log = get_logger("gateway")

DRAIN = "drain/"
STORM_CLUSTER = "storm/cluster"
STORM_NODE = "storm/node/"
Order = TypeVar("Order", DrainOrder, StormOrder)


class Orders(Part):
    """Started after the gateway. An order that cannot be read is logged, and the one before it holds. One
    of another `epoch` was for an earlier owner of the name: it is none, and is taken away from `owned`, where
    only the owner of the name now may write; epochs of orders are in the order of lives.
    """

    def __init__(
        self,
        documents: Documents,
        node: str,
        epoch: int,
        drain: Callable[[DrainOrder | None], None],
        admission: Admission,
        owned: Documents | None = None,
    ) -> None:
        self._owned = owned if owned is not None else documents
        self._past: dict[str, int] = {}  # key -> revision of an order for an earlier life
        self._node = node
        self._epoch = epoch
        self._drain = drain
        self._admission = admission
        self._drains = Replica(documents, DRAIN)
        self._storms = Replica(documents, "storm/")
        self._drains.on_change(self._on_drain)
        self._storms.on_change(self._on_storm)

    async def start(self) -> None:
        await self._drains.start()
        await self._storms.start()

    async def stop(self, grace_s: float) -> None:
        await self._drains.stop()
        await self._storms.stop()

    async def tick(self) -> None:
        """What was ordered of an earlier life waits for nobody."""
        while self._past:
            key, revision = self._past.popitem()
            try:
                await self._owned.delete(key, revision)
                log.info("an order for an earlier owner of the name is taken away", key=key)
            except Conflict:
                continue  # somebody ordered anew
            except DocumentsUnavailable:
                self._past[key] = revision
                return

    def _on_drain(self, key: str, document: Document | None) -> None:
        if key == DRAIN + self._node:
            self._give(document, DrainOrder, self._drain)

    def _on_storm(self, key: str, document: Document | None) -> None:
        if key == STORM_NODE + self._node:
            self._give(document, StormOrder, self._admission.apply)
        elif key == STORM_CLUSTER:
            self._give(document, StormOrder, self._admission.apply_cluster)

    def _give(
        self, document: Document | None, kind: type[Order], take: Callable[[Order | None], None]
    ) -> None:
        if document is None:
            take(None)
            return
        try:
            order = msgspec.json.decode(document.value, type=kind)
        except msgspec.MsgspecError as error:
            log.error("an order cannot be read", key=document.key, reason=str(error))
            return
        take(order if order.epoch in (0, self._epoch) else None)
        if 0 < order.epoch < self._epoch:
            self._past[document.key] = document.revision
