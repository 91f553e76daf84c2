"""The OpenAPI document: what a route takes and gives, from the types of its method; and the document itself,
built at the first request and kept as bytes.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

import msgspec
from fastapi import FastAPI, Request
from fastapi.responses import Response

from control.api.answers import Json, schemas
from control.api.errors import STATUS
from control.api.etags import etag_of, unless_known
from control.api.forms import OtherForm
from control.api.idempotency import PARAMETER
from control.api.schemas.common import ProblemDocument, Responses, problems
from control.auth.tokens import ID
from im_service.calls import Method

NAME = "openapi.json"
IDS = frozenset({"user", "sender", "group", "room"})
REF = "#/components/schemas/{name}"
REFUSALS = frozenset({400, 401, 403, 404, 409, 413, 422, 429, 500, 503, 504})
_PLACEHOLDER = re.compile(r"{(\w+)}")

_ID: Json = {"type": "string", "pattern": f"^{ID.pattern}$"}


def components(methods: Sequence[Method]) -> Json:
    """The Structs of arguments and typed answers, and the problem shape that every route refers to."""
    args = sorted({method.args for method in methods}, key=lambda kind: kind.__name__)
    _, found = msgspec.json.schema_components(args, ref_template=REF)
    answers = sorted({method.answer for method in methods if method.answer}, key=lambda kind: kind.__name__)
    return {"ProblemDocument": ProblemDocument.model_json_schema(), **found, **schemas(answers, REF)}


def response_shapes(method: Method, status: int, form: OtherForm | None = None) -> Responses:
    """The answer and the refusals of a route."""
    refusals = REFUSALS | {STATUS.get(code, 400) for code in method.errors}
    schema = {"$ref": REF.format(name=method.answer.__name__)} if method.answer else {"type": "object"}
    content: Json = {"application/json": {"schema": schema}}
    if form is not None:
        content[form.media] = {"schema": form.schema}
    answer: Json = {"description": method.result, "content": content}
    if form is not None:
        answer["headers"] = {name: {"schema": {"type": "string"}} for name in form.headers}
    return {status: answer, **problems(*sorted(refusals))}


def request_shape(
    method: Method, http: str, path: str, actor: str | None, form: OtherForm | None = None
) -> Json:
    """Parameters and body of a route."""
    in_path = _PLACEHOLDER.findall(path)
    properties, required = _members(method)
    parameters = [
        {"name": name, "in": "path", "required": True, "schema": _in_path(properties.get(name, _ID))}
        for name in in_path
    ]
    rest = {name: shape for name, shape in properties.items() if name not in in_path}
    if actor and actor not in in_path:
        rest[actor] = _ID
    wanted = [name for name in required if name in rest]
    if form is not None:
        parameters.append(form.parameter())
    if http in ("GET", "DELETE"):
        parameters += [
            {"name": name, "in": "query", "required": name in wanted, "schema": shape}
            for name, shape in rest.items()
        ]
        return {"parameters": parameters}
    if http == "POST":
        parameters.append(PARAMETER)
    body: Json = {"type": "object", "properties": rest, "additionalProperties": False}
    if wanted:
        body["required"] = wanted
    return {
        "parameters": parameters,
        "requestBody": {"required": bool(wanted), "content": {"application/json": {"schema": body}}},
    }


def _members(method: Method) -> tuple[Json, list[str]]:
    """Properties of the argument Struct, ids with their pattern, and the names of the required ones."""
    schema = msgspec.json.schema(method.args, ref_template=REF)
    struct = schema["$defs"][method.args.__name__] if "$defs" in schema else schema
    properties = {
        name: _ID if name in IDS and shape.get("type") == "string" and "default" not in shape else shape
        for name, shape in struct.get("properties", {}).items()
    }
    return properties, struct.get("required", [])


def _in_path(schema: Json) -> Json:
    """Texts in a path are ids."""
    return _ID if schema.get("type") == "string" else schema


class Document:
    """The document as bytes, with the ETag by which a client sees that it has them."""

    def __init__(self, build: Callable[[], Json]) -> None:
        self._build = build
        self._body = b""
        self._etag = ""

    def answer(self, request: Request) -> Response:
        if not self._body:
            self._body = msgspec.json.encode(self._build())
            self._etag = etag_of(self._body)
        return unless_known(request, self._body, self._etag, {"Cache-Control": "no-cache"})


def install(app: FastAPI, prefix: str) -> None:
    """Serve the document of this app."""
    document = Document(app.openapi)

    async def show(request: Request) -> Response:
        return document.answer(request)

    app.add_route(f"{prefix}/{NAME}", show, include_in_schema=False)
