"""API keys: of app servers by scopes, of operators by roles. Those made here are documents of the cluster;
those in the data folder of the process that answers are listed and revoked too.
"""

from __future__ import annotations

import asyncio
import time
from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Struct, field

from control.api.admin.documents import Nothing, conflict
from control.api.admin.route import Ask, Given, Reply, Route
from control.api.errors import Problem
from control.audit.entry import Id
from control.keys.api_keys import SECURITY_ADMIN, ApiKey
from control.keys.errors import ApiKeyError
from control.keys.keyring import PREFIX, Held, TooManyKeys
from im_service.faults import SEEN

ID = "[0-9a-f]{12}"
TEXT = f"^{SEEN}$(?!\\n)"


class KeyWanted(Given, kw_only=True):
    """`ttl_s`: from now, 0: until it is revoked."""

    name: Annotated[str, Meta(pattern=TEXT)]
    scopes: Annotated[list[Literal["tokens", "messages", "admin", "read"]], Meta(max_length=4)] = field(
        default_factory=list
    )
    roles: Annotated[
        list[Literal["viewer", "operator", "policy-admin", "security-admin"]], Meta(max_length=4)
    ] = field(default_factory=list)
    ttl_s: Annotated[int, Meta(ge=0, le=10 * 366 * 86400)] = 0


class KeyShown(Struct, kw_only=True):
    """Times are unix seconds, 0: never. `kept`: every process of the cluster takes it, or those alone that
    share the data folder of the one that answers.
    """

    id: str
    name: str
    scopes: list[str]
    roles: list[str]
    created_at: int
    expires_at: int
    revoked_at: int
    usable: bool
    kept: Literal["cluster", "folder"]


class KeyMade(KeyShown, kw_only=True):
    """`text` is shown once: only its hash is kept."""

    text: str


class KeysQuery(Given, kw_only=True):
    after: Annotated[str, Meta(pattern=f"^({ID})?$")] = ""
    limit: Annotated[int, Meta(ge=1, le=500)] = 100


class Keys(Struct, kw_only=True):
    """By id. `after`: give it for the next page; "": there is none."""

    keys: list[KeyShown]
    after: str


async def listed(ask: Ask[KeysQuery]) -> Reply:
    """From memory, also while the engine of the documents is away."""
    of_cluster = ask.services.api_keys.of_cluster()
    of_folder = await asyncio.to_thread(ask.services.api_keys.folder.list)
    every = {key.id: _shown(key, "folder") for key in of_folder}
    every |= {key.id: _shown(key, "cluster") for key in of_cluster}
    found = [every[key_id] for key_id in sorted(every) if key_id > ask.given.after]
    page = found[: ask.given.limit]
    return Reply(Keys(keys=page, after=page[-1].id if len(found) > len(page) else ""))


async def one(ask: Ask[Nothing]) -> Reply:
    """From memory while the engine of the documents is away."""
    try:
        held = await ask.services.api_keys.look(ask.path["key"])
    except ApiKeyError as error:
        raise Problem(409, "document-unreadable", str(error)) from None
    if held is not None:
        return Reply(_shown(held.key, "cluster"), held.revision)
    return Reply(_shown(await _in_folder(ask), "folder"))


async def created(ask: Ask[KeyWanted]) -> Reply:
    wanted = ask.given
    scopes, roles = _rights(wanted)
    try:
        held, text, gone = await ask.services.api_keys.create(wanted.name, scopes, roles, wanted.ttl_s)
    except TooManyKeys as error:
        raise Problem(409, "limit", str(error)) from None
    key = held.key
    shown = msgspec.convert({"text": text, **msgspec.to_builtins(_shown(key, "cluster"))}, KeyMade)
    made_room = (("forgotten", gone),) if gone else ()
    return Reply(shown, held.revision, 0, (("key", key.id), *_told(key), *made_room))


async def changed(ask: Ask[KeyWanted]) -> Reply:
    """Its secret stays."""
    _refuse_own(ask)
    wanted = ask.given
    scopes, roles = _rights(wanted)
    held = await _read(ask)
    if held is None:
        await _in_folder(ask)
        raise Problem(409, "conflict", "a key of a data folder stays as it was made: revoke it, make another")
    if ask.expected not in (None, held.revision):
        raise conflict(PREFIX + held.key.id, held.revision)
    if held.key.revoked_at:
        raise Problem(409, "conflict", "a revoked key stays revoked: make another")
    ends = int(time.time()) + wanted.ttl_s if wanted.ttl_s else 0
    key = msgspec.structs.replace(
        held.key, name=wanted.name, scopes=tuple(scopes), roles=tuple(roles), expires_at=ends
    )
    now = await ask.services.api_keys.change(key, held.revision)
    return Reply(_shown(key, "cluster"), now.revision, held.revision, _told(key))


async def revoked(ask: Ask[Nothing]) -> Reply:
    _refuse_own(ask)
    try:
        held = await ask.services.api_keys.revoke(ask.path["key"])
    except ApiKeyError as error:
        raise Problem(409, "document-unreadable", str(error)) from None
    if held is not None:
        return Reply(_shown(held.key, "cluster"), held.revision)
    try:
        key = await asyncio.to_thread(ask.services.api_keys.folder.revoke, ask.path["key"])
    except ApiKeyError as error:
        raise Problem(404, "not-found", str(error)) from None
    return Reply(_shown(key, "folder"))


def _rights(wanted: KeyWanted) -> tuple[list[str], list[str]]:
    scopes: list[str] = sorted(set(wanted.scopes))
    roles: list[str] = sorted(set(wanted.roles))
    if not scopes and not roles:
        raise Problem(422, "invalid", "a key without scope and role opens nothing")
    return scopes, roles


def _refuse_own(ask: Ask[Given]) -> None:
    """So that one security-admin always remains."""
    if ask.path["key"] == ask.key.id:
        raise Problem(409, "conflict", "a key can neither change nor revoke itself: another one must")


async def _read(ask: Ask[Given]) -> Held | None:
    try:
        return await ask.services.api_keys.read(ask.path["key"])
    except ApiKeyError as error:
        raise Problem(409, "document-unreadable", str(error)) from None


async def _in_folder(ask: Ask[Given]) -> ApiKey:
    for key in await asyncio.to_thread(ask.services.api_keys.folder.list):
        if key.id == ask.path["key"]:
            return key
    raise Problem(404, "not-found", f"there is no API key with id {ask.path['key']}")


def _told(key: ApiKey) -> tuple[tuple[str, list[Id]], ...]:
    """To the audit log."""
    return ("scopes", list(key.scopes)), ("roles", list(key.roles))


def _shown(key: ApiKey, kept: Literal["cluster", "folder"]) -> KeyShown:
    return KeyShown(
        id=key.id,
        name=key.name,
        scopes=list(key.scopes),
        roles=list(key.roles),
        created_at=key.created_at,
        expires_at=key.expires_at,
        revoked_at=key.revoked_at,
        usable=key.usable(time.time()),
        kept=kept,
    )


PATTERNS = {"key": ID}
ROUTES = (
    Route(
        "GET", "/api-keys", "api-keys.list", SECURITY_ADMIN, "keys", "Every API key, by id",
        KeysQuery, Keys, listed,
    ),
    Route(
        "GET", "/api-keys/{key}", "api-keys.get", SECURITY_ADMIN, "keys", "One API key",
        Nothing, KeyShown, one, has_etag=True, patterns=PATTERNS,
    ),
    Route(
        "POST", "/api-keys", "api-keys.create", SECURITY_ADMIN, "keys", "Make an API key of the cluster",
        KeyWanted, KeyMade, created, has_etag=True, status=201,
    ),
    Route(
        "PUT", "/api-keys/{key}", "api-keys.change", SECURITY_ADMIN, "keys",
        "Say anew what a key of the cluster is called, what it may and when it ends; its secret stays",
        KeyWanted, KeyShown, changed, revised=True, has_etag=True, patterns=PATTERNS,
    ),
    Route(
        "DELETE", "/api-keys/{key}", "api-keys.revoke", SECURITY_ADMIN, "keys",
        "Revoke an API key for good: every process refuses it within moments",
        Nothing, KeyShown, revoked, patterns=PATTERNS,
    ),
)  # fmt: skip
