"""Routes made from a table: each names a method of the message service, whose argument Struct is the only
description. So the rules stay in the service, and the document cannot drift from them.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import partial

from fastapi import Depends, Request
from fastapi.responses import Response
from fastapi.routing import APIRoute

from control.api.answers import encoder
from control.api.arguments import ArgumentReader
from control.api.audit import audited, ids_of, is_audited
from control.api.deps import ImDep, NeedsScope, ServicesDep
from control.api.forms import OtherForm
from control.api.idempotency import replayable
from control.api.late_routes import LateRoute
from control.api.openapi import request_shape, response_shapes
from im_service.calls import Args, Method

PREFIX = "/v1"


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
    name: str = ""  # where a method has several routes
    form: OtherForm | None = None

    @property
    def reads_body(self) -> bool:
        return self.http not in ("GET", "DELETE")


def make_routes(operations: tuple[Operation, ...], methods: Mapping[str, Method]) -> list[LateRoute]:
    """One route per operation. Raises KeyError for a method the service does not have."""
    return [
        LateRoute(f"{PREFIX}{each.path}", each.http, partial(_made, each, methods[each.method]))
        for each in operations
    ]


def _made(operation: Operation, method: Method) -> APIRoute:
    return APIRoute(
        f"{PREFIX}{operation.path}",
        endpoint=_endpoint(operation, method),
        name=operation.method,
        operation_id=f"{operation.http.lower()}_{(operation.name or operation.method).replace('.', '_')}",
        summary=method.doc.split(". ")[0],
        description=f"{method.doc} Answers `{method.result}`.",
        tags=[operation.tag],
        dependencies=[Depends(NeedsScope(operation.scope))],
        status_code=operation.status,
        response_class=Response,
        responses=response_shapes(method, operation.status, operation.form),
        openapi_extra=request_shape(method, operation.http, operation.path, operation.actor, operation.form),
        methods=[operation.http],
    )


def _endpoint(operation: Operation, method: Method) -> Callable[..., Awaitable[Response]]:
    encode = encoder(method)
    form = operation.form
    beside = frozenset({form.member}) if form else frozenset[str]()
    reader = ArgumentReader(method, operation.actor, operation.reads_body, beside)
    audited_too = is_audited(operation.method, operation.scope)

    async def endpoint(request: Request, im: ImDep, services: ServicesDep) -> Response:
        arguments, user = await reader.read(request)
        other = form if form is not None and form.asked(request) else None

        async def handle() -> Response:
            if not audited_too:
                key = request.state.api_key.id

                async def ask(asked: Args) -> object:
                    return await im.call(operation.method, asked, user)

                result, headers = await services.long_polls.asked(key, arguments, ask)
                if other is not None:
                    return other.answer(result, headers)
                return Response(encode(result), operation.status, headers, media_type="application/json")
            async with audited(request, services, operation.method, ids_of({}, arguments, user)):
                result = await im.call(operation.method, arguments, user)
            return Response(encode(result), operation.status, media_type="application/json")

        if operation.http == "POST":
            return await replayable(request.app.state.idempotency, request, request.state.api_key.id, handle)
        return await handle()

    return endpoint
