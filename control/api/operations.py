"""Routes made from a table: each names a method of the message service, whose argument Struct is the only
description.

Path and query parameters and the members of a JSON body become the arguments; OpenAPI shows the same Struct.
So the rules stay in the service, and the document cannot drift from them.
"""

from __future__ import annotations

import re
import typing
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec
from fastapi import APIRouter, Depends, Request
from fastapi.responses import Response

from control.api.deps import ImDep, require
from control.api.errors import STATUS, Problem
from control.api.idempotency import HEADER, KEY, replayable
from control.api.schemas.common import problems
from control.auth.tokens import ID
from im_service.calls import Declared, _types, with_raw
from im_service.errors import Code

IDS = frozenset({"user", "sender", "group", "room"})
REF = "#/components/schemas/{name}"
_PLACEHOLDER = re.compile(r"{(\w+)}")
_ID = {"type": "string", "pattern": f"^{ID.pattern}$"}


@dataclass(frozen=True)
class Operation:
    """`actor` names the path, query or body member that says for whom the server acts; the method does not
    see it.
    """

    http: str
    path: str
    method: str
    tag: str
    scope: str = "admin"
    actor: str | None = None
    status: int = 200
    summary: str = ""


def make_router(operations: tuple[Operation, ...], methods: Mapping[str, Declared]) -> APIRouter:
    """A router with one route per operation. Raises KeyError for a method the service does not have."""
    router = APIRouter(prefix="/v1")
    for operation in operations:
        declared = methods[operation.method]
        router.add_api_route(
            operation.path,
            _endpoint(operation, declared),
            methods=[operation.http],
            name=operation.method,
            operation_id=f"{operation.http.lower()}_{operation.method.replace('.', '_')}",
            summary=operation.summary or declared.doc.split(". ")[0],
            description=f"{declared.doc} Answers `{declared.result}`.",
            tags=[operation.tag],
            dependencies=[Depends(require(operation.scope))],
            status_code=operation.status,
            response_class=Response,
            responses=_responses(operation, declared),
            openapi_extra=_describe(operation, declared),
        )
    return router


def argument_schemas(operations: tuple[Operation, ...], methods: Mapping[str, Declared]) -> dict[str, Any]:
    """OpenAPI components of the argument Structs."""
    types = {methods[operation.method].args for operation in operations}
    _, components = msgspec.json.schema_components(
        sorted(types, key=lambda kind: kind.__name__), ref_template=REF
    )
    return components


def _endpoint(operation: Operation, declared: Declared) -> Callable[..., Awaitable[Response]]:
    reads_body = operation.http not in ("GET", "DELETE")

    async def endpoint(request: Request, im: ImDep) -> Response:
        arguments = await _arguments(request, declared.args, reads_body)
        user = _actor(operation, arguments)
        _check(declared, arguments)

        async def handle() -> Response:
            result = await im.call(operation.method, arguments, user)
            return Response(_encode(result), operation.status, media_type="application/json")

        if operation.http == "POST":
            return await replayable(request.app.state.idempotency, request, request.state.api_key.id, handle)
        return await handle()

    return endpoint


def _actor(operation: Operation, arguments: dict[str, Any]) -> str:
    """Take the acting user out of the arguments."""
    if operation.actor is None:
        return ""
    user = arguments.pop(operation.actor, None)
    if not isinstance(user, str) or not ID.fullmatch(user):
        raise Problem(422, "invalid", f"{operation.actor} must match {ID.pattern}", code=int(Code.INVALID))
    return user


async def _arguments(request: Request, args: type[msgspec.Struct], reads_body: bool) -> dict[str, Any]:
    """Path parameters over body members (or query parameters, converted to the types of the Struct)."""
    if reads_body:
        body = await request.body()
        try:
            given = msgspec.json.decode(body) if body else {}
        except msgspec.DecodeError as error:
            raise Problem(400, "malformed", f"the body is not JSON: {error}", code=400) from None
        _check_carriable(given)
        if not isinstance(given, dict):
            raise Problem(422, "invalid", "the body must be an object", code=int(Code.INVALID))
        if request.query_params:
            raise Problem(422, "invalid", "this route takes no query parameters", code=int(Code.INVALID))
    else:
        given = _query(request, args)
    if twice := set(given) & set(request.path_params):
        raise Problem(422, "invalid", f"{', '.join(sorted(twice))}: named in the path already")
    for name, value in request.path_params.items():
        if not ID.fullmatch(value):
            raise Problem(422, "invalid", f"{name} must match {ID.pattern}", code=int(Code.INVALID))
    types = _types(args)
    in_path = {
        name: _converted(name, value, types[name]) if name in types else value
        for name, value in request.path_params.items()
    }
    return {**given, **in_path}


def _check_carriable(value: Any) -> None:
    """JSON can write lone surrogates and numbers of any length; msgpack, and so everything behind, cannot."""
    try:
        msgspec.msgpack.encode(value)
    except UnicodeEncodeError:
        raise Problem(422, "invalid", "half of a surrogate pair", code=int(Code.INVALID)) from None
    except OverflowError:
        raise Problem(422, "invalid", "a number beyond 64 bits", code=int(Code.INVALID)) from None


def _query(request: Request, args: type[msgspec.Struct]) -> dict[str, Any]:
    types = _types(args)
    given: dict[str, Any] = {}
    for name in request.query_params:
        values = request.query_params.getlist(name)
        if name not in types:
            given[name] = values[-1]
        else:
            given[name] = _converted(name, values if _is_list(types[name]) else values[-1], types[name])
    return given


def _converted(name: str, value: Any, kind: Any) -> Any:
    """A text of the URL as the type the method wants."""
    try:
        return msgspec.to_builtins(msgspec.convert(value, kind, strict=False))
    except msgspec.ValidationError as error:
        raise Problem(422, "invalid", f"{name}: {error}", code=int(Code.INVALID)) from None


def _check(declared: Declared, arguments: dict[str, Any]) -> None:
    """Refuse here what the service would refuse, so that no request crosses the bus in vain."""
    try:
        msgspec.convert(with_raw(declared.args, arguments), declared.args)
    except msgspec.ValidationError as error:
        raise Problem(422, "invalid", str(error), code=int(Code.INVALID)) from None


def _is_list(kind: Any) -> bool:
    options = typing.get_args(kind) if typing.get_origin(kind) is not list else ()
    return typing.get_origin(kind) in (list, tuple, set) or any(_is_list(option) for option in options)


def _encode(result: Any) -> bytes:
    # Parts of a result may be msgpack already (msgspec.Raw), as the wire wants them: through msgpack and
    # back.
    plain = msgspec.msgpack.decode(msgspec.msgpack.encode(result))
    return msgspec.json.encode({} if plain is None else plain)


def _responses(operation: Operation, declared: Declared) -> dict[int | str, dict[str, Any]]:
    statuses = {400, 401, 403, 413, 422, 429, 500, 503, 504} | {
        STATUS.get(code, 400) for code in declared.errors
    }
    statuses |= {404, 409}
    answer = {
        "description": declared.result,
        "content": {"application/json": {"schema": {"type": "object"}}},
    }
    return {operation.status: answer, **problems(*sorted(statuses))}


def _in_path(schema: dict[str, Any]) -> dict[str, Any]:
    """Texts in a path are ids."""
    return _ID if schema.get("type") == "string" else schema


def _describe(operation: Operation, declared: Declared) -> dict[str, Any]:
    """Parameters and body of a route, from the Struct."""
    in_path = _PLACEHOLDER.findall(operation.path)
    schema = msgspec.json.schema(declared.args, ref_template=REF)
    struct = schema["$defs"][declared.args.__name__] if "$defs" in schema else schema
    properties: dict[str, Any] = {
        name: _ID if name in IDS and shape.get("type") == "string" and "default" not in shape else shape
        for name, shape in struct.get("properties", {}).items()
    }
    required = list(struct.get("required", []))
    parameters = [
        {"name": name, "in": "path", "required": True, "schema": _in_path(properties.get(name, _ID))}
        for name in in_path
    ]
    rest = {name: shape for name, shape in properties.items() if name not in in_path}
    if operation.actor and operation.actor not in in_path:
        rest[operation.actor] = _ID
    wanted = [name for name in required if name in rest]
    if operation.http in ("GET", "DELETE"):
        parameters += [
            {"name": name, "in": "query", "required": name in wanted, "schema": shape}
            for name, shape in rest.items()
        ]
        return {"parameters": parameters}
    if operation.http == "POST":
        parameters.append(
            {
                "name": HEADER,
                "in": "header",
                "required": False,
                "schema": {"type": "string", "pattern": f"^{KEY.pattern}$"},
            }
        )
    body: dict[str, Any] = {"type": "object", "properties": rest, "additionalProperties": False}
    if wanted:
        body["required"] = wanted
    return {
        "parameters": parameters,
        "requestBody": {"required": bool(wanted), "content": {"application/json": {"schema": body}}},
    }
