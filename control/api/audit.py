"""What the audit log is told of a request: who, what and which ids; never a text, which may be private."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Mapping
from hashlib import sha256

import msgspec
from fastapi import Request
from msgspec import Struct

from control.api.errors import Problem
from control.api.request_id import request_id
from control.api.services import Services
from control.audit.entry import BEGUN, DONE, Id, Ids, Words
from control.keys.api_keys import ApiKey
from control.settings.live import live_keys
from im_service.errors import ImError
from im_service.grammar import IDS

SENDING = frozenset({"message.send", "message.batch"})
"""What is said is in the store, with its sender."""
NAMED = IDS | {"conversation", "role", "node", "key", "topic", "connection"}
PRIVATE = frozenset({"login", "secret", "text"})
"""What a person is told, or is to be kept from others: known by its size alone."""
MOST = 20
"""Of a list."""
MEMBERS = 64
"""Of a table."""
LONG = 128
"""Characters: what is longer is known by its size and hash."""


def is_audited(method: str, scope: str) -> bool:
    return scope != "read" and method not in SENDING


def words_of(request: Request, what: str, via: str, ids: Ids) -> Words:
    key: ApiKey = request.state.api_key
    return Words(
        what=what,
        via=via,
        outcome=BEGUN,
        who=key.id,
        name=key.name,
        rights=list(key.roles if via == "admin" else key.scopes),
        address=client_address(request),
        ids=ids,
        request=request_id(request),
    )


@contextlib.asynccontextmanager
async def audited(request: Request, state: Services, what: str, ids: Ids) -> AsyncIterator[None]:
    """A line of what an app server did, when it is over: done, refused or failed."""
    words = words_of(request, what, "api", ids)
    words.outcome = "failed"
    try:
        yield
        words.outcome = DONE
    except ImError as refusal:
        words.outcome = f"refused {int(refusal.code)} {refusal.text}"
        raise
    except Problem as refusal:
        words.outcome = f"refused {refusal.slug}"
        raise
    finally:
        await state.audit.apps.try_to_write(words)


def client_address(request: Request) -> str:
    return request.client.host if request.client is not None else ""


def ids_of(path: Mapping[str, str], arguments: Struct, acting_for: str = "") -> Ids:
    """Ids, numbers and switches."""
    told: Ids = dict(path)
    for name in arguments.__struct_fields__:
        value = getattr(arguments, name)
        if value not in (None, "", [], ()) and (name in NAMED or _is_number(value)):
            told[name] = _brief(value)
    if acting_for:
        told["acting_for"] = acting_for
    return told


def ordered(path: Mapping[str, str], given: Struct) -> Ids:
    """All that an operator ordered, as it was given: what is long by its size and hash."""
    told: Ids = dict(path)
    for name in given.__struct_fields__:
        value = getattr(given, name)
        if isinstance(value, dict):
            told |= _settings_of(name, value)
        elif isinstance(value, bool | int | float) or (isinstance(value, list) and value):
            told[name] = _brief(value)
        elif isinstance(value, str) and len(value) <= LONG and name not in PRIVATE:
            if value:
                told[name] = value
        elif value not in (None, "", []):
            told |= _by_hash(name, value)
    return told


def _settings_of(name: str, values: Mapping[str, object]) -> Ids:
    """Those that are live, which no secret is; of others, which are refused, what was meant is not told."""
    known = frozenset(live_keys())
    told: Ids = {f"{name}.count": len(values)}
    for key, value in [*values.items()][:MEMBERS]:
        if key in known and isinstance(value, bool | int | float | str):
            plain = not isinstance(value, str) or (value.isprintable() and len(value) <= LONG)
            told[f"{name}.{key}"] = value if plain else f"{len(str(value))} characters"
    return told


def _by_hash(name: str, value: object) -> Ids:
    content = bytes(value) if isinstance(value, msgspec.Raw) else msgspec.json.encode(value)
    if name in PRIVATE:
        return {f"{name}.bytes": len(content)}
    return {f"{name}.bytes": len(content), f"{name}.sha256": sha256(content).hexdigest()}


def _brief(value: object) -> Id | list[Id]:
    if isinstance(value, list | tuple):
        named = [_named(each) for each in value[:MOST]]
        return [*named, f"{len(value)} in all"] if len(value) > MOST else named
    return _named(value)


def _named(value: object) -> Id:
    """What an entry can hold: of a structure whom it is about."""
    return value if isinstance(value, str | int | float) else str(getattr(value, "user", value))


def _is_number(value: object) -> bool:
    """Or some, or a switch."""
    values = value if isinstance(value, list | tuple) else [value]
    return all(isinstance(each, int | float) for each in values)
