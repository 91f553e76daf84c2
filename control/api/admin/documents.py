"""Documents of the cluster as routes show and change them: JSON of a struct, with its revision as ETag."""

from __future__ import annotations

from typing import TypeVar

import msgspec
from msgspec import Struct

from control.api.admin.route import Ask, Given, Reply
from control.api.errors import Problem
from control.coordination.documents import Document
from control.logs import get_logger

log = get_logger("http")

Order = TypeVar("Order", bound=Struct)


class Nothing(Given):
    """No members."""


class Gone(Struct, kw_only=True):
    """`revision`: of the deletion, 0: nothing was there."""

    revision: int


async def read(ask: Ask[Given], key: str, kind: type[Order]) -> tuple[Order | None, int]:
    """What stands there and its revision; (None, 0) where nothing does."""
    document = await ask.services.documents.get(key)
    if document is None:
        return None, 0
    try:
        return msgspec.json.decode(document.value, type=kind), document.revision
    except msgspec.MsgspecError as error:
        text = f"{key} was written by another version: {error}"
        raise Problem(409, "document-unreadable", text, revision=document.revision) from None


def readable(document: Document, kind: type[Order]) -> Order | None:
    """One of a list; None, and a line in the log, where another version wrote it."""
    try:
        return msgspec.json.decode(document.value, type=kind)
    except msgspec.MsgspecError as error:
        log.error("a document cannot be read", key=document.key, reason=str(error))
        return None


async def show(ask: Ask[Nothing], key: str, kind: type[Order], absent: Order | None = None) -> Reply:
    """Problem 404 where nothing stands there and nothing holds instead."""
    found, revision = await read(ask, key, kind)
    if found is None and absent is None:
        raise Problem(404, "not-found", f"there is no {key}", revision=0)
    body = found if found is not None else absent
    assert body is not None
    return Reply(body, revision)


async def put(ask: Ask[Given], key: str, body: Struct) -> Reply:
    """Replace what is at the revision that was named."""
    before = await ask.services.documents.get(key)
    document = await ask.services.documents.put(key, msgspec.json.encode(body), ask.expected)
    return Reply(body, document.revision, before.revision if before is not None else 0)


def conflict(key: str, revision: int) -> Problem:
    return Problem(412, "revision-conflict", f"{key} is at revision {revision}", revision=revision)


async def drop(ask: Ask[Nothing], key: str) -> Reply:
    """Also what is not known to be there: a change whose outcome nobody told may have been made."""
    before = await ask.services.documents.get(key)
    revision = await ask.services.documents.delete(key, ask.expected)
    if before is None and not revision:
        return Reply(Gone(revision=0))
    return Reply(Gone(revision=revision), revision, before.revision if before is not None else 0)
