"""Every refusal of the HTTP API as an RFC 9457 problem (`application/problem+json`)."""

from __future__ import annotations

from collections.abc import Mapping

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.routing import Match

from control.coordination.documents import DocumentsUnavailable
from im_service.errors import Code, ImError
from im_service.faults import meaning

MEDIA_TYPE = "application/problem+json"
TYPE_BASE = "urn:qianwan:problem:"

# Request code of the message service -> HTTP status. Codes that are not here answer 400.
STATUS: Mapping[int, int] = {
    Code.MALFORMED: 400,
    Code.FORBIDDEN: 403,
    Code.NOT_FOUND: 404,
    Code.CONFLICT: 409,
    Code.INVALID: 422,
    Code.RATE_LIMITED: 429,
    Code.DUPLICATE: 409,
    Code.ACCOUNT_DISABLED: 403,
    Code.MUTED: 403,
    Code.INTERNAL: 500,
    Code.UNAVAILABLE: 503,
    Code.TIMEOUT: 504,
    Code.RECALL_WINDOW: 409,
    Code.BLACKLISTED: 403,
    Code.GROUP_FULL: 409,
    Code.NOT_GROUP_MEMBER: 403,
    Code.GROUP_NOT_FOUND: 404,
    Code.NOT_IN_ROOM: 403,
    Code.ROOM_NOT_FOUND: 404,
    Code.ROOM_BLACKLISTED: 403,
    Code.ROOM_MUTED: 403,
    Code.ROOM_MUTED_ALL: 403,
}

TITLES: Mapping[int, str] = {
    400: "Malformed request",
    401: "Not authenticated",
    403: "Not allowed",
    404: "Not found",
    405: "Method not allowed",
    409: "Conflict",
    410: "Gone",
    412: "Precondition failed",
    413: "Body too large",
    415: "Unsupported media type",
    422: "Invalid parameters",
    428: "Precondition required",
    429: "Too many requests",
    500: "Internal error",
    503: "Not available now",
    504: "Took too long",
}


NOTHING_HERE = (
    "nothing is here: the API is under /v1, its reference at /v1/docs (of operators: /v1/admin/docs)"
)


class Problem(Exception):
    """A refusal. `slug` names its kind for programs, `extra` adds members to the document."""

    def __init__(
        self,
        status: int,
        slug: str,
        detail: str,
        headers: Mapping[str, str] | None = None,
        **extra: object,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.slug = slug
        self.detail = detail
        self.headers = headers
        self.extra = extra

    def response(self) -> JSONResponse:
        return problem(self.status, self.slug, self.detail, self.headers, **self.extra)


def problem(
    status: int, slug: str, detail: str, headers: Mapping[str, str] | None = None, **extra: object
) -> JSONResponse:
    content = {
        "type": TYPE_BASE + slug,
        "title": TITLES.get(status, "Error"),
        "status": status,
        "detail": detail,
        **extra,
    }
    return JSONResponse(content, status, headers=dict(headers or {}), media_type=MEDIA_TYPE)


def from_im_error(error: ImError) -> Problem:
    """The problem for a refusal of the message service; carries its `code` and detail map."""
    code = int(error.code)
    slug = Code(code).name.lower().replace("_", "-")
    detail = dict(error.detail or {})
    if "go_on" in detail:  # events that a cursor had not passed
        return Problem(410, "gone", error.text, None, code=code, **detail)
    headers = None
    if "retry_after_ms" in detail:
        headers = {"Retry-After": str(-(-int(detail["retry_after_ms"]) // 1000))}
    return Problem(STATUS.get(code, 400), slug, error.text, headers, code=code, **detail)


def _reason(kind: str, said: str, context: Mapping[str, str]) -> str:
    """Of pydantic: what was wrong with one parameter."""
    if kind == "string_pattern_mismatch":
        return f"should be {meaning(context['pattern'])}"
    return said


def install(app: FastAPI) -> None:
    """Make every error of the app a problem document."""

    @app.exception_handler(Problem)
    async def on_problem(request: Request, error: Problem) -> JSONResponse:
        return error.response()

    @app.exception_handler(ImError)
    async def on_im_error(request: Request, error: ImError) -> JSONResponse:
        return from_im_error(error).response()

    @app.exception_handler(DocumentsUnavailable)
    async def on_documents(request: Request, error: DocumentsUnavailable) -> JSONResponse:
        return problem(503, "unavailable", f"cannot be changed now: {error}", {"Retry-After": "1"})

    @app.exception_handler(RequestValidationError)
    async def on_invalid(request: Request, error: RequestValidationError) -> JSONResponse:
        broken = any(item["type"] == "json_invalid" for item in error.errors())
        errors = [
            {
                "at": ".".join(str(part) for part in item["loc"]),
                "reason": _reason(item["type"], item["msg"], item.get("ctx", {})),
            }
            for item in error.errors()
        ]
        if broken:
            return problem(400, "malformed", "the body is not JSON", code=int(Code.MALFORMED))
        return problem(
            422, "invalid", "a parameter is out of its bounds", code=int(Code.INVALID), errors=errors
        )

    @app.exception_handler(HTTPException)
    async def on_http(request: Request, error: HTTPException) -> JSONResponse:
        title = TITLES.get(error.status_code, "Error").lower().replace(" ", "-")
        detail = NOTHING_HERE if error.status_code == 404 else str(error.detail)
        headers = {"Allow": _allowed(request)} if error.status_code == 405 else error.headers
        return problem(error.status_code, title, detail, headers)

    @app.exception_handler(ClientDisconnect)
    async def on_gone(request: Request, error: ClientDisconnect) -> Response:
        return Response(status_code=400)  # nobody is there to read it

    # Starlette raises the error again after this answer, so the HTTP server logs it with its traceback.
    @app.exception_handler(Exception)
    async def on_failure(request: Request, error: Exception) -> JSONResponse:
        return problem(500, "internal", "the request could not be handled", code=int(Code.INTERNAL))


def _allowed(request: Request) -> str:
    """Every method of the path: each has a route of its own, and the first that fits was asked."""

    def taken(method: str) -> bool:
        scope = {**request.scope, "method": method}
        return any(route.matches(scope)[0] is Match.FULL for route in request.app.router.routes)

    return ", ".join(filter(taken, ("DELETE", "GET", "HEAD", "PATCH", "POST", "PUT")))
