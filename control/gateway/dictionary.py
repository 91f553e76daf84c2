"""The dictionary that bodies to clients are compressed by, as operators published it in a document."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
from msgspec import Struct

from control.coordination.documents import Document, Documents
from control.coordination.replica import Replica
from control.logs import get_logger
from control.part import Part
from crypto.errors import CompressionFailed

log = get_logger("gateway")

DICTIONARY = "dictionary"


class Published(Struct, kw_only=True):
    """`id`: the one inside `data`, a trained zstd dictionary; JSON has it as base64."""

    id: int
    data: bytes


class DictionaryFollower(Part):
    """Gives the core what is published. What it cannot take is logged, and the one before it holds; without
    documents the gateway goes on with what it had."""

    def __init__(self, documents: Documents, give: Callable[[bytes], None]) -> None:
        self._give = give
        self.id = 0
        self._replica = Replica(documents, DICTIONARY)
        self._replica.on_change(self._on_change)

    async def start(self) -> None:
        await self._replica.start()

    async def stop(self, grace_s: float) -> None:
        await self._replica.stop()

    def _on_change(self, key: str, document: Document | None) -> None:
        if key != DICTIONARY:
            return
        try:
            published = None
            if document is not None:
                published = msgspec.json.decode(document.value, type=Published)
            self._give(published.data if published is not None else b"")
            self.id = published.id if published is not None else 0
        except (msgspec.MsgspecError, CompressionFailed, ValueError) as error:
            log.error("the published dictionary cannot be used", reason=str(error))
            return
        log.info("bodies are compressed by another dictionary", id=self.id)
