"""What the audit log is told of a request: who, what and which ids; never a text, which may be private."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Mapping

from fastapi import Request
from msgspec import Struct

from control.api.errors import Problem
from control.api.request_id import request_id
from control.api.services import Services
from control.audit.entry import BEGUN, DONE, Id, Ids, Words
from control.keys.api_keys import ApiKey
from im_service.errors import ImError
from im_service.grammar import IDS

SENDING = frozenset({"message.send", "message.batch"})
"""What is said is in the store, with its sender."""
NAMED = IDS | {"conversation", "role", "node", "key", "topic", "connection"}
MOST = 20
"""Of a list."""


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


def _brief(value: object) -> Id | list[Id]:
    if isinstance(value, list | tuple):
        return [*value[:MOST], f"{len(value)} in all"] if len(value) > MOST else list(value)
    return value if isinstance(value, str | int | float) else str(value)


def _is_number(value: object) -> bool:
    """Or some, or a switch."""
    values = value if isinstance(value, list | tuple) else [value]
    return all(isinstance(each, int | float) for each in values)
