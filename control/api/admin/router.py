"""The way of every request through the admin API: proven, read, done, answered."""

from __future__ import annotations

import re
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial

import msgspec
from fastapi import Depends, Request
from fastapi.responses import Response
from fastapi.routing import APIRoute
from msgspec import inspect

from control.api.admin.route import AnyRoute, Ask, Given, Reply
from control.api.admin.shapes import request as request_shape
from control.api.admin.shapes import responses
from control.api.audit import ordered, words_of
from control.api.deps import NeedsRole, ServicesDep, later
from control.api.errors import Problem
from control.api.idempotency import replayable
from control.api.late_routes import LateRoute
from control.api.whole_numbers import members_of, not_whole
from control.audit.entry import Words, room_of
from control.audit.log import AuditUnavailable
from control.coordination.documents import Conflict, DocumentsUnavailable, DocumentTooLarge
from frame.constants import ID_PATTERN
from im_service.errors import UNDECODABLE, Code
from im_service.faults import meaning, told

PREFIX = "/v1/admin"
NEVER = (1 << 63) - 1
"""The highest revision that engines can compare with: nothing has it."""
NO_HEADERS: Mapping[str, str] = {}
ETAG = re.compile(r'(?:W/)?"([0-9]{1,19})"')


def make_routes(routes: Sequence[AnyRoute]) -> list[LateRoute]:
    return [LateRoute(PREFIX + route.path, route.http, partial(_made, route)) for route in routes]


def _made(route: AnyRoute) -> APIRoute:
    return APIRoute(
        PREFIX + route.path,
        endpoint=_endpoint(route),
        name=route.name,
        operation_id=route.name.replace(".", "_").replace("-", "_"),
        summary=route.doc.split(". ")[0],
        description=f"{route.doc}. Role: `{route.role}`.",
        tags=[route.tag],
        dependencies=[Depends(NeedsRole(route.role, route.name, route.changes, route.patterns or {}))],
        status_code=route.status,
        response_class=Response,
        responses=responses(route),
        openapi_extra=request_shape(route),
        methods=[route.http],
    )


def _endpoint(route: AnyRoute) -> Callable[..., Awaitable[Response]]:
    async def endpoint(request: Request, services: ServicesDep) -> Response:
        key = request.state.api_key
        path = _path(route, request.path_params)
        given = await _given(route, request)
        ask = Ask(given, path, services, key, _expected(request) if route.revised else None)

        async def handle() -> Response:
            if not route.changes:
                done, headers = await services.operator_polls.asked(
                    key.id, given, lambda asked: _done(route, replace(ask, given=asked))
                )
                return _response(done, route.status, headers)
            words = words_of(request, route.name, "admin", ordered(path, given))
            if wait := services.audit_gate.take(key.id, time.monotonic(), room_of(words)):
                raise later("audit-share", "the audit log has no more room for this API key today", wait)
            try:
                async with services.audit.operators.change(words) as change:
                    return _response(await _changed(route, ask, change), route.status)
            except AuditUnavailable as error:
                raise Problem(503, "audit-unavailable", f"not done: {error}", {"Retry-After": "5"}) from None

        if route.http == "POST":
            return await replayable(request.app.state.idempotency, request, key.id, handle)
        return await handle()

    return endpoint


async def _changed(route: AnyRoute, ask: Ask[Given], change: Words) -> Reply:
    """Done, and how it ended, for the audit log."""
    try:
        reply = await _done(route, ask)
    except Problem as refusal:
        change.outcome = f"refused {refusal.slug}"
        revision = refusal.extra.get("revision")
        change.before = revision if isinstance(revision, int) else None
        raise
    change.before, change.after = reply.before, reply.revision
    change.ids = change.ids | dict(reply.ids)
    return reply


async def _done(route: AnyRoute, ask: Ask[Given]) -> Reply:
    """Errors of what stands below it as problems."""
    try:
        return await route.handle(ask)
    except Conflict as error:
        raise Problem(412, "revision-conflict", str(error), revision=error.revision) from None
    except DocumentsUnavailable as error:
        raise Problem(503, "documents-unavailable", str(error), {"Retry-After": "1"}) from None
    except DocumentTooLarge as error:
        raise Problem(413, "body-too-large", str(error)) from None


def _response(reply: Reply, status: int, headers: Mapping[str, str] = NO_HEADERS) -> Response:
    etag = {} if reply.revision is None else {"ETag": f'"{reply.revision}"'}
    found = {**headers, **etag}
    return Response(msgspec.json.encode(reply.body), status, found, media_type="application/json")


def _path(route: AnyRoute, params: Mapping[str, str]) -> Mapping[str, str]:
    for name, value in params.items():
        pattern = (route.patterns or {}).get(name, ID_PATTERN)
        if not re.fullmatch(pattern, value):
            raise _invalid(f"{name} must be {meaning(pattern)}")
    return params


async def _given(route: AnyRoute, request: Request) -> Given:
    """The members of the body, or of the query: one decoder that refuses what it does not know."""
    try:
        if not route.reads_body:
            texts = request.query_params
            if len(texts.multi_items()) != len(texts):
                raise _invalid("a query parameter stands twice")
            if wrong := not_whole(texts, members_of(route.takes, inspect.IntType)):
                raise _invalid(wrong)
            found: Given = msgspec.convert(dict(texts), route.takes, strict=False)
            return found
        if request.query_params:
            raise _invalid("this route takes no query parameters")
        given: Given = msgspec.json.decode(await request.body() or b"{}", type=route.takes)
        return given
    except msgspec.ValidationError as error:
        raise _invalid(told(error, route.takes)) from None
    except UNDECODABLE as error:
        detail = f"the body is not JSON: {error}"
        raise Problem(400, "malformed", detail, code=int(Code.MALFORMED)) from None


def _expected(request: Request) -> int | None:
    """The revision that a change is based on. Problem 428 when none is named."""
    named = request.headers.get("if-match", "").strip()
    if named == "*":
        return None
    if match := ETAG.fullmatch(named):
        return min(int(match[1]), NEVER)
    if not named:
        text = "name the revision this change is based on: If-Match with the ETag of what was read"
        raise Problem(428, "revision-not-named", text)
    raise _invalid("If-Match must be one ETag of this API, or *")


def _invalid(detail: str) -> Problem:
    return Problem(422, "invalid", detail, code=int(Code.INVALID))
