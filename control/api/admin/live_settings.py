"""Settings that hold in every process at once, while they run."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

import msgspec
from msgspec import Meta, Struct

from control.api.admin import documents
from control.api.admin.documents import Gone, Nothing
from control.api.admin.route import Ask, Given, Reply, Route
from control.api.errors import Problem
from control.keys.api_keys import POLICY_ADMIN, VIEWER
from control.settings import SettingsError
from control.settings.live import DOCUMENT, LiveDocument, Values, Version, effective, overlaid, usable

NEVER = LiveDocument(at="", who="", name="", values={})


class LiveWanted(Given, kw_only=True):
    """All that shall differ from what the processes were started with, by dotted key."""

    values: Annotated[Values, Meta(max_length=64)]


class Refusal(Struct, kw_only=True):
    """A process in which `keys` do not hold: they do not go with what it was started with. Its log says
    why.
    """

    node: str
    keys: list[str]


class LiveShown(Struct, kw_only=True):
    """`values` are set here; `effective` is every live key as it is in the process that answers; `refused`:
    where some do not hold, as the processes tell within seconds; `history`: earlier versions, the latest
    last, at most 50.
    """

    values: Values
    effective: Values
    refused: list[Refusal]
    at: str
    who: str
    name: str
    history: list[Version]


async def shown(ask: Ask[Nothing]) -> Reply:
    document, revision = await documents.read(ask, DOCUMENT, LiveDocument)
    return Reply(_shown(ask, document or NEVER), revision)


async def replaced(ask: Ask[LiveWanted]) -> Reply:
    values = ask.given.values
    try:
        overlaid(ask.services.settings, values)
    except SettingsError as error:
        raise Problem(422, "invalid", "; ".join(error.lines)) from None
    before, revision = await documents.read(ask, DOCUMENT, LiveDocument)
    if ask.expected is not None and ask.expected != revision:
        raise documents.conflict(DOCUMENT, revision)
    version = _version(ask, values)
    made = (before or NEVER).replaced(version) if before else LiveDocument(**msgspec.structs.asdict(version))
    stored = await ask.services.documents.put(DOCUMENT, msgspec.json.encode(made), revision)
    return Reply(_shown(ask, made), stored.revision, revision)


async def dropped(ask: Ask[Nothing]) -> Reply:
    """A document of another version, which nobody can read, goes as a whole. The engine is asked also where
    nothing is known to be set: a change whose outcome nobody told may have been made."""
    try:
        before, revision = await documents.read(ask, DOCUMENT, LiveDocument)
    except Problem:
        return await documents.drop(ask, DOCUMENT)
    if ask.expected is not None and ask.expected != revision:
        raise documents.conflict(DOCUMENT, revision)
    if before is None:
        return await documents.drop(ask, DOCUMENT)
    made = before.replaced(_version(ask, {})) if before.values else before
    stored = await ask.services.documents.put(DOCUMENT, msgspec.json.encode(made), revision)
    return Reply(Gone(revision=stored.revision if before.values else 0), stored.revision, revision)


def _version(ask: Ask[Given], values: Values) -> Version:
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return Version(at=now, who=ask.key.id, name=ask.key.name, values=values)


def _shown(ask: Ask[Given], document: LiveDocument) -> LiveShown:
    holds = effective(usable(ask.services.settings, document.values)[0])
    refused = [
        Refusal(node=info.name, keys=keys)
        for info in ask.services.coordination.nodes()
        if (keys := [key for key in info.refuses if key in document.values])
    ]
    return LiveShown(
        values=document.values,
        effective=holds,
        refused=refused,
        at=document.at,
        who=document.who,
        name=document.name,
        history=document.history,
    )


PATH = "/settings/live"
ROUTES = (
    Route(
        "GET", PATH, "settings.get", VIEWER, "settings",
        "Settings that were changed while the processes run, and earlier versions", Nothing, LiveShown, shown,
        has_etag=True,
    ),
    Route(
        "PUT", PATH, "settings.replace", POLICY_ADMIN, "settings",
        "Set live settings of every process; checked as at a start", LiveWanted, LiveShown, replaced,
        revised=True, has_etag=True,
    ),
    Route(
        "DELETE", PATH, "settings.drop", POLICY_ADMIN, "settings",
        "Go on with what the processes were started with; the history stays", Nothing, Gone, dropped,
        revised=True, has_etag=True,
    ),
)  # fmt: skip
