"""Small versioned data that the whole cluster shares: what operators set, keys, revocations. Never one entry
a session, never anything that a message waits for.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import Protocol

import msgspec

KEY_BYTES = 256
VALUE_BYTES = 1 << 20
"""Of one document: below what etcd takes in one request (1.5 MiB)."""


class Document(msgspec.Struct, frozen=True):
    """`revision`: of its last change; no two changes of all documents have the same, later ones a higher."""

    key: str
    value: bytes
    revision: int


class Listing(msgspec.Struct, frozen=True):
    """Documents by key, as they were at `revision`."""

    documents: tuple[Document, ...]
    revision: int


class Change(msgspec.Struct, frozen=True):
    """`value` None: the document is gone."""

    key: str
    value: bytes | None
    revision: int


class DocumentsError(Exception):
    """A document could not be read or changed."""


class DocumentsUnavailable(DocumentsError):
    """The engine does not answer. A change may have been made all the same: read again."""


class DocumentTooLarge(DocumentsError):
    """The value is larger than any may be."""


class Conflict(DocumentsError):
    """The document is not at the expected revision; `revision` is the one it has, 0: there is none."""

    def __init__(self, key: str, revision: int) -> None:
        super().__init__(f"{key} is at revision {revision}" if revision else f"{key} does not exist")
        self.revision = revision


class Documents(Protocol):
    """Guarantees. A change is durable when `put` or `delete` returns, and happens once or not at all; of two
    that expect the same revision one wins. A read sees every change that returned before it began. What is
    known of a document is ordered by its revision. Keys are printable text of at most KEY_BYTES in UTF-8,
    words joined by slashes. Raises ValueError for a key that is none, DocumentsUnavailable from every call.
    """

    async def get(self, key: str) -> Document | None: ...

    async def list(self, prefix: str) -> Listing:
        """All whose key begins with `prefix`, at one moment."""
        ...

    async def put(self, key: str, value: bytes, expected: int | None = None) -> Document:
        """Write it. `expected`: 0 there must be none yet, None whatever is there, else the revision that is
        replaced. Raises Conflict, DocumentTooLarge.
        """
        ...

    async def delete(self, key: str, expected: int | None = None) -> int:
        """Take it away; the revision of that change, 0 where there was none and none was expected. Raises
        Conflict.
        """
        ...

    def watch(self, prefix: str, after: int, known: Mapping[str, int] | None = None) -> AsyncIterator[Change]:
        """Every change with a revision above `after`, in order, none twice, as they come, for as long as it
        is asked; the engine reconnects by itself. Where it no longer has them all (compaction, another store)
        it goes on with what is there: each document that changed since, and a deletion of each key that is
        gone and was told of, or was `known` to be there at `after`, with that revision.
        """
        ...

    def problem(self) -> str | None:
        """Why the engine does not answer now; None when it does."""
        ...


def checked_key(key: str) -> str:
    """The key. Raises ValueError when it is none."""
    if not key or not key.isprintable() or len(key.encode()) > KEY_BYTES or "" in key.split("/"):
        raise ValueError(f"no key of a document: {key[:64]!r}")
    return key


def checked_value(key: str, value: bytes) -> bytes:
    """The value. Raises DocumentTooLarge."""
    if len(value) > VALUE_BYTES:
        raise DocumentTooLarge(f"{key}: {len(value)} bytes, at most {VALUE_BYTES}")
    return value
