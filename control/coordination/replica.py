"""What is remembered of the documents under a prefix: answers come from memory, also while their engine is
away.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from control.coordination.documents import Change, Document, Documents, DocumentsUnavailable
from control.logs import get_logger
from control.part import Part

log = get_logger("coordination")

RETRY_S = 1.0
Heard = Callable[[str, Document | None], None]


class Replica(Part):
    """Kept by a list and a watch. After `start` it has what was there; a change is heard within moments, in
    order. Where the engine is away at the start, it is empty until the engine is there: `complete` says so.
    """

    def __init__(self, documents: Documents, prefix: str) -> None:
        self._documents = documents
        self._prefix = prefix
        self._held: dict[str, Document] = {}
        self._callbacks: list[Heard] = []
        self._task: asyncio.Task[None] | None = None
        self.complete = False
        self.revision = 0

    async def start(self) -> None:
        try:
            await self._load()
        except DocumentsUnavailable as error:
            log.warning("documents are not there yet", prefix=self._prefix, reason=str(error))
        self._task = asyncio.create_task(self._run(), name=f"replica {self._prefix}")

    async def stop(self, grace_s: float = 0.0) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def get(self, key: str) -> Document | None:
        return self._held.get(key)

    def all(self) -> list[Document]:
        """By key."""
        return [self._held[key] for key in sorted(self._held)]

    def on_change(self, callback: Heard) -> None:
        """Call `callback(key, document)` for each that is there, and for each change; None: it is gone. One
        that fails is logged and hurts no other.
        """
        self._callbacks.append(callback)
        for document in self.all():
            _tell(callback, document.key, document)

    async def _run(self) -> None:
        while True:
            try:
                if not self.complete:
                    await self._load()
                held = {key: document.revision for key, document in self._held.items()}
                async for change in self._documents.watch(self._prefix, self.revision, held):
                    self._take(change)
            except DocumentsUnavailable as error:
                log.warning("documents are away", prefix=self._prefix, reason=str(error))
            except Exception:
                log.exception("documents could not be followed", prefix=self._prefix)
            await asyncio.sleep(RETRY_S)

    async def _load(self) -> None:
        listed = await self._documents.list(self._prefix)
        there = {document.key for document in listed.documents}
        for key in sorted(self._held.keys() - there):
            self._take(Change(key, None, listed.revision))
        for document in listed.documents:
            if (held := self._held.get(document.key)) is None or held.revision != document.revision:
                self._take(Change(document.key, document.value, document.revision))
        self.revision = listed.revision
        self.complete = True

    def _take(self, change: Change) -> None:
        self.revision = change.revision  # lower than before where a snapshot was put back
        document = None
        if change.value is None:
            if self._held.pop(change.key, None) is None:
                return
        else:
            document = Document(change.key, change.value, change.revision)
            self._held[change.key] = document
        for callback in self._callbacks:
            _tell(callback, change.key, document)


def _tell(callback: Heard, key: str, document: Document | None) -> None:
    try:
        callback(key, document)
    except Exception:
        log.exception("a changed document could not be taken in", key=key)
