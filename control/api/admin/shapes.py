"""What the OpenAPI document says of the routes of the admin API, from the types they take and answer."""

from __future__ import annotations

import re
from collections.abc import Sequence

import msgspec
from msgspec import Struct

from control.api.admin.route import AnyRoute, Given
from control.api.answers import Json
from control.api.idempotency import PARAMETER
from control.api.openapi import REF
from control.api.schemas.common import ProblemDocument, Responses, problems
from frame.constants import ID_PATTERN

PLACEHOLDER = re.compile(r"{(\w+)}")
IF_MATCH: Json = {
    "name": "If-Match",
    "in": "header",
    "required": True,
    "description": 'the ETag of what was read; "0": nothing is there yet; *: whatever is there',
    "schema": {"type": "string", "pattern": r'^(\*|"[0-9]{1,19}")$'},
}
READING = (401, 403, 422, 429, 500, 503)
CHANGING = (400, 401, 403, 404, 409, 413, 422, 429, 500, 503)


def components(routes: Sequence[AnyRoute]) -> Json:
    kinds: list[type[Struct]] = [route.answers for route in routes]
    kinds += [route.takes for route in routes if route.reads_body]
    kinds = sorted(set(kinds), key=lambda kind: kind.__name__)
    _, found = msgspec.json.schema_components(kinds, ref_template=REF)
    return {"ProblemDocument": ProblemDocument.model_json_schema(), **found}


def responses(route: AnyRoute) -> Responses:
    statuses = set(CHANGING if route.changes else READING)
    if PLACEHOLDER.search(route.path) or route.has_etag:
        statuses.add(404)
    if route.revised:
        statuses |= {412, 428}
    schema = {"$ref": REF.format(name=route.answers.__name__)}
    answer: Json = {"description": route.doc, "content": {"application/json": {"schema": schema}}}
    if route.has_etag:
        answer["headers"] = {"ETag": {"description": "the revision", "schema": {"type": "string"}}}
    return {route.status: answer, **problems(*sorted(statuses))}


def request(route: AnyRoute) -> Json:
    """Parameters and body."""
    patterns = route.patterns or {}
    parameters: list[Json] = [
        {
            "name": name,
            "in": "path",
            "required": True,
            "schema": {"type": "string", "pattern": f"^{patterns.get(name, ID_PATTERN)}$"},
        }
        for name in PLACEHOLDER.findall(route.path)
    ]
    if route.revised:
        parameters.append(IF_MATCH)
    if route.http == "POST":
        parameters.append(PARAMETER)
    if not route.reads_body:
        return {"parameters": parameters + _query(route.takes)}
    required = any(field.required for field in msgspec.structs.fields(route.takes))
    schema = {"$ref": REF.format(name=route.takes.__name__)}
    body = {"required": required, "content": {"application/json": {"schema": schema}}}
    return {"parameters": parameters, "requestBody": body}


def _query(kind: type[Given]) -> list[Json]:
    schema = msgspec.json.schema(kind, ref_template=REF)
    struct = schema["$defs"][kind.__name__]
    required = struct.get("required", [])
    return [
        {"name": name, "in": "query", "required": name in required, "schema": shape}
        for name, shape in struct.get("properties", {}).items()
    ]
