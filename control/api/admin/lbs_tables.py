"""The tables by which LBS knows zone and carrier of an address."""

from __future__ import annotations

import asyncio

import msgspec
from msgspec import Struct

from control.api.admin import documents
from control.api.admin.documents import Gone, Nothing
from control.api.admin.route import Ask, Given, Reply, Route
from control.api.errors import Problem
from control.keys.api_keys import POLICY_ADMIN, VIEWER
from control.lbs.tables import parse_tables

KEY = "lbs/tables"


class TablesWanted(Given, kw_only=True):
    tables: msgspec.Raw


class LbsTables(Struct, kw_only=True):
    """`tables` as OPERATIONS describes them."""

    tables: msgspec.Raw


async def shown(ask: Ask[Nothing]) -> Reply:
    document = await ask.services.documents.get(KEY)
    if document is None:
        raise Problem(404, "not-found", f"there is no {KEY}", revision=0)
    return Reply(LbsTables(tables=msgspec.Raw(document.value)), document.revision)


async def replaced(ask: Ask[TablesWanted]) -> Reply:
    content = bytes(ask.given.tables)
    try:
        await asyncio.to_thread(parse_tables, content)
    except ValueError as error:
        raise Problem(422, "invalid", f"tables: {error}") from None
    before = await ask.services.documents.get(KEY)
    document = await ask.services.documents.put(KEY, content, ask.expected)
    body = LbsTables(tables=ask.given.tables)
    return Reply(body, document.revision, before.revision if before is not None else 0)


async def dropped(ask: Ask[Nothing]) -> Reply:
    return await documents.drop(ask, KEY)


PATH = "/lbs/tables"
ROUTES = (
    Route(
        "GET", PATH, "lbs.tables.get", VIEWER, "lbs", "Zone, carrier and network of address ranges",
        Nothing, LbsTables, shown, has_etag=True,
    ),
    Route(
        "PUT", PATH, "lbs.tables.replace", POLICY_ADMIN, "lbs", "Replace the tables; every line is checked",
        TablesWanted, LbsTables, replaced, revised=True, has_etag=True,
    ),
    Route(
        "DELETE", PATH, "lbs.tables.drop", POLICY_ADMIN, "lbs", "Go on with the files of the settings alone",
        Nothing, Gone, dropped, revised=True, has_etag=True,
    ),
)  # fmt: skip
