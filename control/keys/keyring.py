"""API keys that a process believes: those of the cluster, and those of its data folder.

    document `api-keys/<id>`   of the cluster: made, changed and revoked through the admin API
    keys/api-keys.json         of one data folder, beside them: the first key, and what `qianwan api-key`
                               makes where there is no cluster to ask yet, or none any more

The first key of each folder is both, so that every process takes it: what is changed of the one is changed of
the other, and it is over where either says so.

Only the hash of a secret is in either. A key is proven from memory, so those that are known go on while the
engine of the documents is away; a change is heard by every process within moments.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Sequence

import msgspec

from control.coordination.documents import Conflict, Document, Documents, DocumentsUnavailable
from control.coordination.replica import Replica
from control.keys.api_keys import ApiKey, ApiKeys, new_key, parts_of
from control.keys.errors import ApiKeyError, KeyFileError
from control.logs import get_logger
from control.part import Part

log = get_logger("keys")

PREFIX = "api-keys/"
MOST = 5000
"""Keys of a cluster: an app server needs one. Beyond: the one that was over first makes room, and where none
is over no further one is made."""
TRIES = 8
"""Of writes that meet others."""
PUT_BACK = 16
"""Keys that are put back in a tick."""


class TooManyKeys(Exception):
    """As many as a cluster has, and none of them is over."""


class Held(msgspec.Struct, frozen=True):
    """A key of the cluster, at the revision of its document."""

    key: ApiKey
    revision: int


class Keyring(Part):
    """Started after the documents. `folder`: the keys beside those of the cluster."""

    def __init__(self, documents: Documents, folder: ApiKeys, clock: Callable[[], float] = time.time) -> None:
        self.folder = folder
        self._documents = documents
        self._clock = clock
        self._replica = Replica(documents, PREFIX)
        self._held: dict[str, Held] = {}
        self._lost: dict[str, int] = {}  # id -> revision of a document that lacks what is known, 0: gone

    async def start(self) -> None:
        await self._replica.start()
        self._replica.on_change(self._on_change)

    async def stop(self, grace_s: float) -> None:
        await self._replica.stop(grace_s)

    async def share_first(self) -> None:
        """The first key of the folder is one of the cluster. While that cannot be, the next tick tries."""
        first = self.folder.first()
        if first is None or not self._replica.complete:
            return
        held = self._held.get(first.id)
        with contextlib.suppress(Conflict, DocumentsUnavailable, KeyFileError, ApiKeyError):
            if held is None:
                if first.id not in self._lost and not first.over(self._clock()):
                    await self._put(first, 0)
            elif first.revoked_at and not held.key.revoked_at:
                await self.revoke(first.id)
            elif held.key != first and not first.revoked_at:
                await asyncio.to_thread(self.folder.keep, held.key)

    async def tick(self) -> None:
        """What a snapshot or an emptied engine lost is put back by whoever knew it."""
        await self.share_first()
        for key_id in list(self._lost)[:PUT_BACK]:
            revision, held = self._lost.pop(key_id), self._held.get(key_id)
            if held is None:
                continue
            try:
                await self._put(held.key, revision)
                log.warning("an API key that the documents had lost is put back", key=key_id)
            except Conflict:
                continue  # what is there now is on its way
            except DocumentsUnavailable:
                self._lost[key_id] = revision
                return

    def may_be(self, key_id: str) -> bool:
        """Whether a key with this id may have been made elsewhere: the keys of the cluster were never read,
        or their engine is away, so that nobody can say that it is none."""
        away = not self._replica.complete or self._documents.problem() is not None
        return away and bool(key_id) and key_id not in self._held

    def proven(self, text: str) -> ApiKey | None:
        """The key that `text` proves, also one that is over; None: it is none."""
        key_id, secret = parts_of(text)
        if (held := self._held.get(key_id)) is not None:
            return (self.folder.revoked(key_id) or held.key) if held.key.proves(secret) else None
        return self.folder.proven(text)

    async def look(self, key_id: str) -> Held | None:
        """To show it: as `read`; as it was last known, at once, while the engine is away. Raises as `read`
        does where nothing is known here."""
        known = self._held.get(key_id)
        if known is not None and self._documents.problem() is not None:
            return known
        try:
            return await self.read(key_id)
        except DocumentsUnavailable:
            if known is None:
                raise
            return known

    def of_cluster(self) -> list[ApiKey]:
        return [held.key for held in self._held.values()]

    async def read(self, key_id: str) -> Held | None:
        """As its document is now; what is known of it where that cannot be read: a change replaces it. Raises
        ApiKeyError where nothing is known, DocumentsUnavailable.
        """
        document = await self._documents.get(PREFIX + key_id)
        if document is None:
            return None
        try:
            held = _read(document)
        except ApiKeyError:
            if (known := self._held.get(key_id)) is None:
                raise
            held = Held(known.key, document.revision)
        return self._hold(held)

    async def create(
        self, name: str, scopes: Sequence[str], roles: Sequence[str], ttl_s: int
    ) -> tuple[Held, str, str]:
        """What is kept, the text that is shown once, and the id of the key that made room, "": none had to.
        Raises TooManyKeys, DocumentsUnavailable.
        """
        gone = await self._make_room()
        key, text = new_key(name, scopes, roles, ttl_s, int(self._clock()))
        return await self._put(key, 0), text, gone

    async def change(self, key: ApiKey, expected: int | None) -> Held:
        """Raises Conflict, DocumentsUnavailable."""
        return await self._put(msgspec.structs.replace(key, changes=key.changes + 1), expected)

    async def revoke(self, key_id: str) -> Held | None:
        """For good; None: the cluster has none with this id. Raises as `read` does."""
        for _ in range(TRIES):
            held = await self.read(key_id)
            if held is None or held.key.revoked_at:
                return held
            over = msgspec.structs.replace(held.key, revoked_at=int(self._clock()))
            try:
                return await self._put(over, held.revision)
            except Conflict:
                continue
        raise DocumentsUnavailable(f"{PREFIX}{key_id} is written by others all the time")

    async def _make_room(self) -> str:
        if len(self._held) < MOST:
            return ""
        now = self._clock()
        over = [held for held in self._held.values() if held.key.over(now)]
        if not over:
            raise TooManyKeys(f"there are {len(self._held)} API keys, and none of them is over")
        first = min(over, key=lambda held: held.key.revoked_at or held.key.expires_at)
        await self._documents.delete(PREFIX + first.key.id, first.revision)
        self._held.pop(first.key.id, None)
        return first.key.id

    async def _put(self, key: ApiKey, expected: int | None) -> Held:
        document = await self._documents.put(PREFIX + key.id, msgspec.json.encode(key), expected)
        return self._hold(Held(key, document.revision))

    def _hold(self, read: Held) -> Held:
        """Whoever changed or read a key may rely on it at once. What is believed at that revision."""
        known = self._held.get(read.key.id)
        held = self._believed(read)
        if known is None or known.revision < held.revision:
            self._held[held.key.id] = held
        return held

    def _believed(self, told: Held) -> Held:
        """What was taken from a key is not given back by a copy from before, which is put right instead."""
        known = self._held.get(told.key.id)
        if known is None or not _lacks(told.key, known.key):
            return told
        self._lost[told.key.id] = told.revision
        return Held(known.key, told.revision)

    def _on_change(self, name: str, document: Document | None) -> None:
        """As it is told: the revision is lower where a snapshot was put back. What was revoked or changed
        stays so, and a key goes on that nobody had a reason to remove."""
        key_id = name.removeprefix(PREFIX)
        known = self._held.get(key_id)
        self._lost.pop(key_id, None)
        if document is None:
            if known is None or known.key.over(self._clock()):
                self._held.pop(key_id, None)
            else:
                self._lost[key_id] = 0
            return
        try:
            held = _read(document)
        except ApiKeyError as error:
            log.error("an API key cannot be read; what was known of it goes on", reason=str(error))
            return
        self._held[key_id] = self._believed(held)


def _lacks(told: ApiKey, known: ApiKey) -> bool:
    """Whether it is from before what is known: a revocation, or a change of what the key may."""
    if told.revoked_at or known.revoked_at:
        return not told.revoked_at
    return told.changes < known.changes


def _read(document: Document) -> Held:
    """Raises ApiKeyError."""
    try:
        key = msgspec.json.decode(document.value, type=ApiKey)
    except msgspec.MsgspecError as error:
        raise ApiKeyError(f"{document.key} was written by another version: {error}") from None
    if key.id != document.key.removeprefix(PREFIX):
        raise ApiKeyError(f"{document.key} holds the key {key.id}")
    return Held(key, document.revision)
