"""GET /v1/admin/audit: who changed what, from where, and how it ended."""

from __future__ import annotations

import asyncio
from typing import Annotated, Literal

from msgspec import Meta, Struct

from control.api.admin.route import Ask, Given, Reply, Route
from control.audit.entry import Entry
from control.audit.read import page
from control.keys.api_keys import SECURITY_ADMIN


class AuditQuery(Given, kw_only=True):
    trail: Literal["operators", "apps", "refusals"] = "operators"
    what: Annotated[str, Meta(max_length=64)] = ""
    who: Annotated[str, Meta(max_length=64)] = ""
    before: Annotated[int, Meta(ge=0, le=1 << 53)] = 0
    limit: Annotated[int, Meta(ge=1, le=500)] = 100


class AuditPage(Struct, kw_only=True):
    """`before`: give it for the next page; 0: there is none. Where much is passed over, a page is short."""

    entries: list[Entry]
    before: int


async def listed(ask: Ask[AuditQuery]) -> Reply:
    asked = ask.given
    folder = ask.services.audit.trail(asked.trail).files.folder
    found, before = await asyncio.to_thread(page, folder, asked.before, asked.limit, asked.what, asked.who)
    return Reply(AuditPage(entries=found, before=before))


ROUTES = (
    Route(
        "GET",
        "/audit",
        "audit.list",
        SECURITY_ADMIN,
        "audit",
        "Changes, newest first: of operators, of app servers, or what was refused to those who may not",
        AuditQuery,
        AuditPage,
        listed,
    ),
)
