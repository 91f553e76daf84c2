"""GET /v1/events/schema: what events look like, to programs."""

from __future__ import annotations

from functools import cache

import msgspec
from fastapi import APIRouter, Depends, Request
from fastapi.responses import Response

from control.api.deps import NeedsScope
from control.api.errors import Problem
from control.api.etags import etag_of, unless_known
from control.api.schemas.common import GUARDED, Responses
from im_service.outbox.kinds.catalogue import document

MEDIA = "application/schema+json"
KEPT = "private, max-age=3600"
"""It changes with the program alone."""
SHOWN: Responses = {
    200: {"description": "A JSON Schema, draft 2020-12", "content": {MEDIA: {"schema": {"type": "object"}}}},
    304: {"description": "If-None-Match names it"},
}

router = APIRouter(prefix="/v1", tags=["events"])


@cache
def _schema() -> tuple[bytes, str]:
    body = msgspec.json.encode(document())
    return body, etag_of(body)


@router.get(
    "/events/schema",
    operation_id="get_events_schema",
    dependencies=[Depends(NeedsScope("read"))],
    response_class=Response,
    responses=SHOWN | GUARDED,
)
async def events_schema(request: Request) -> Response:
    """The JSON Schema of the events of the durable copy (docs/EVENTS.md), a definition for each kind."""
    if request.query_params:
        raise Problem(422, "invalid", "this route takes no query parameters")
    body, etag = _schema()
    return unless_known(request, body, etag, {"Cache-Control": KEPT}, MEDIA)
