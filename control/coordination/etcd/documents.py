"""Documents in etcd, for processes of many machines."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Mapping
from contextlib import aclosing

from control.coordination.documents import (
    Change,
    Conflict,
    Document,
    DocumentsUnavailable,
    DocumentTooLarge,
    Listing,
    checked_key,
    checked_value,
)
from control.coordination.etcd.client import EtcdClient
from control.coordination.etcd.errors import FULL, EtcdError, NoSpace, OutcomeUnknown, RequestTooLarge
from control.coordination.etcd.messages import Check, Delete, Put, Read
from control.coordination.etcd.registration import Registration
from control.coordination.etcd.watch import Watch

FOLDER = "documents/"
WITHIN_S = 4.4
"""For a change whose outcome is not told at once: then it is said that nobody knows. A change of leader takes
up to 2.4 s; with what is read before it an operator waits no longer than five."""

PAUSE_S = 0.2
"""At most, behind a try whose outcome nobody knows: a member that is unwell refuses within a millisecond."""


class EtcdDocuments:
    """Implements Documents. A document is a key below `prefix`, which ends in a slash; empty: `documents/`
    below etcd.prefix. With an `owner`, changes are made only while it holds its node id.
    """

    def __init__(self, client: EtcdClient, prefix: str = "", owner: Registration | None = None) -> None:
        self._client = client
        self._prefix = (prefix or client.section.prefix + FOLDER).encode()
        self._owner = owner

    def problem(self) -> str | None:
        return self._client.problem()

    async def get(self, key: str) -> Document | None:
        checked_key(key)
        try:
            found = await self._client.get(self._prefix + key.encode())
        except EtcdError as error:
            raise _translated(error) from error
        return None if found is None else Document(key, found.value, found.revision)

    async def list(self, prefix: str) -> Listing:
        try:
            found = await self._client.list(self._prefix + prefix.encode())
        except EtcdError as error:
            raise _translated(error) from error
        documents = (Document(self._name(kv.key), kv.value, kv.revision) for kv in found.keys)
        return Listing(tuple(documents), found.revision)

    async def put(self, key: str, value: bytes, expected: int | None = None) -> Document:
        checked_key(key)
        checked_value(key, value)
        return Document(key, value, await self._changed(key, value, expected))

    async def delete(self, key: str, expected: int | None = None) -> int:
        checked_key(key)
        return await self._changed(key, None, expected)

    async def watch(
        self, prefix: str, after: int, known: Mapping[str, int] | None = None
    ) -> AsyncIterator[Change]:
        keys = None
        if known is not None:
            keys = {self._prefix + key.encode(): revision for key, revision in known.items()}
        watch = Watch(self._client, self._prefix + prefix.encode(), after, keys)
        try:
            async with aclosing(watch.events()) as events:
                async for event in events:
                    yield Change(self._name(event.key), event.value, event.revision)
        except EtcdError as error:
            raise _translated(error) from error

    def _name(self, key: bytes) -> str:
        return key.removeprefix(self._prefix).decode(errors="replace")

    # -- changes

    async def _changed(self, key: str, value: bytes | None, expected: int | None) -> int:
        """Every change expects a revision, so that a try whose outcome nobody knows can be made again: of two
        that expect the same one is made."""
        sent = asyncio.Event()
        try:
            async with asyncio.timeout(WITHIN_S):
                return await self._change(key, value, expected, sent)
        except TimeoutError:
            if sent.is_set():
                raise DocumentsUnavailable(f"etcd does not tell whether {key} was changed") from None
            raise DocumentsUnavailable(f"etcd does not answer: {key} was not changed") from None
        except EtcdError as error:
            raise _translated(error) from error

    async def _change(self, key: str, value: bytes | None, expected: int | None, sent: asyncio.Event) -> int:
        """`sent` is set as soon as it may be made."""
        path, unanswered = self._prefix + key.encode(), False
        then = Delete(path) if value is None else Put(path, value)
        present = expected if expected is not None else await self._revision(path)
        while True:
            if value is None and present == 0:
                return await self._nothing_to_delete(key, path, expected)
            fence = [] if self._owner is None else [self._owner.fence()]
            sent.set()
            try:
                outcome = await self._client.txn([Check(path, "mod", present), *fence], [then], [Read(path)])
            except OutcomeUnknown:
                unanswered = True
                await asyncio.sleep(PAUSE_S * (0.5 + random.random() / 2))
                continue
            if outcome.held:
                return outcome.revision
            found = outcome.found[0].keys[0] if outcome.found[0].keys else None
            current = found.revision if found is not None else 0
            if unanswered and value is not None and found is not None and found.value == value:
                return current  # made by the try that was not answered
            if unanswered and value is None and found is None:
                return outcome.revision
            if current == present:
                raise DocumentsUnavailable("this process does not hold its node id: it changes nothing")
            if expected is not None:
                raise Conflict(key, current)
            if unanswered:
                raise DocumentsUnavailable(f"{key} was changed by others while etcd did not answer")
            present = current

    async def _nothing_to_delete(self, key: str, path: bytes, expected: int | None) -> int:
        if expected is not None and (current := await self._revision(path)):
            raise Conflict(key, current)
        return 0

    async def _revision(self, path: bytes) -> int:
        found = await self._client.get(path)
        return found.revision if found is not None else 0


def _translated(error: EtcdError) -> DocumentsUnavailable | DocumentTooLarge:
    if isinstance(error, RequestTooLarge):
        return DocumentTooLarge(str(error))
    if isinstance(error, NoSpace):
        return DocumentsUnavailable(f"{error} ({FULL})")
    return DocumentsUnavailable(str(error))
