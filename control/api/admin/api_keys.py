"""API keys: of app servers by scopes, of operators by roles."""

from __future__ import annotations

import asyncio
import time
from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Struct, field

from control.api.admin.documents import Nothing
from control.api.admin.route import Ask, Given, Reply, Route
from control.api.errors import Problem
from control.keys.api_keys import SECURITY_ADMIN, ApiKey
from control.keys.errors import ApiKeyError

ID = "[0-9a-f]{12}"
TEXT = r"^[^\x00-\x1f\x7f]{1,128}$"


class KeyWanted(Given, kw_only=True):
    """`ttl_s` 0: until it is revoked."""

    name: Annotated[str, Meta(pattern=TEXT)]
    scopes: Annotated[list[Literal["tokens", "messages", "admin", "read"]], Meta(max_length=4)] = field(
        default_factory=list
    )
    roles: Annotated[
        list[Literal["viewer", "operator", "policy-admin", "security-admin"]], Meta(max_length=4)
    ] = field(default_factory=list)
    ttl_s: Annotated[int, Meta(ge=0, le=10 * 366 * 86400)] = 0


class KeyShown(Struct, kw_only=True):
    """Times are unix seconds, 0: never."""

    id: str
    name: str
    scopes: list[str]
    roles: list[str]
    created_at: int
    expires_at: int
    revoked_at: int
    usable: bool


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
    every = await asyncio.to_thread(ask.services.api_keys.list)
    found = sorted((key for key in every if key.id > ask.given.after), key=lambda key: key.id)
    page = found[: ask.given.limit]
    after = page[-1].id if len(found) > len(page) else ""
    return Reply(Keys(keys=[_shown(key) for key in page], after=after))


async def created(ask: Ask[KeyWanted]) -> Reply:
    wanted = ask.given
    scopes, roles = tuple(sorted(set(wanted.scopes))), tuple(sorted(set(wanted.roles)))
    if not scopes and not roles:
        raise Problem(422, "invalid", "a key without scope and role opens nothing")
    key, text = await asyncio.to_thread(
        ask.services.api_keys.create, wanted.name, scopes, wanted.ttl_s, roles
    )
    return Reply(
        msgspec.convert({"text": text, **msgspec.to_builtins(_shown(key))}, KeyMade), ids=(("key", key.id),)
    )


async def revoked(ask: Ask[Nothing]) -> Reply:
    if ask.path["key"] == ask.key.id:
        raise Problem(409, "conflict", "a key cannot revoke itself: another one must")
    try:
        key = await asyncio.to_thread(ask.services.api_keys.revoke, ask.path["key"])
    except ApiKeyError as error:
        raise Problem(404, "not-found", str(error)) from None
    return Reply(_shown(key))


def _shown(key: ApiKey) -> KeyShown:
    return KeyShown(
        id=key.id,
        name=key.name,
        scopes=list(key.scopes),
        roles=list(key.roles),
        created_at=key.created_at,
        expires_at=key.expires_at,
        revoked_at=key.revoked_at,
        usable=key.usable(time.time()),
    )


ROUTES = (
    Route(
        "GET", "/api-keys", "api-keys.list", SECURITY_ADMIN, "keys", "Every API key, by id",
        KeysQuery, Keys, listed,
    ),
    Route(
        "POST", "/api-keys", "api-keys.create", SECURITY_ADMIN, "keys", "Make an API key",
        KeyWanted, KeyMade, created, status=201,
    ),
    Route(
        "DELETE", "/api-keys/{key}", "api-keys.revoke", SECURITY_ADMIN, "keys",
        "Revoke an API key: every process refuses it within a second",
        Nothing, KeyShown, revoked, patterns={"key": ID},
    ),
)  # fmt: skip
