"""CORS of one path, and the methods that go with it: pages of other origins may read what it answers.

It takes no credential and tells no secret, so `*` may be told; API keys travel in headers that no answer here
allows.
"""

from __future__ import annotations

from collections.abc import Sequence

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

METHODS = "GET, HEAD, OPTIONS"
EXPOSED = "ETag, Retry-After"
ASKED = "Accept, If-None-Match"
PREFLIGHT_S = "86400"


class OpenToPages:
    """ASGI middleware: OPTIONS is answered here, HEAD as GET, and each answer of `path`, refusals too, tells
    whether a page of that origin may read it.
    """

    def __init__(self, app: ASGIApp, path: str, origins: Sequence[str]) -> None:
        self._app = app
        self._path = path
        self._origins = frozenset(origins)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] != self._path:
            await self._app(scope, receive, send)
            return
        asked = Headers(scope=scope)
        origin = asked.get("origin", "")
        if scope["method"] == "OPTIONS":
            answer = Response(status_code=204, headers={"Allow": METHODS})
            self._allow(answer.headers, origin)
            if "access-control-allow-origin" in answer.headers and "access-control-request-method" in asked:
                answer.headers["Access-Control-Allow-Methods"] = METHODS
                answer.headers["Access-Control-Allow-Headers"] = ASKED
                answer.headers["Access-Control-Max-Age"] = PREFLIGHT_S
            await answer(scope, receive, send)
            return

        async def told(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                self._allow(headers, origin)
                if message["status"] == 405:
                    headers["Allow"] = METHODS
            await send(message)

        # The HTTP server, which has the scope as it came, leaves the body of an answer to HEAD away.
        shown = {**scope, "method": "GET"} if scope["method"] == "HEAD" else scope
        await self._app(shown, receive, told)

    def _allow(self, headers: MutableHeaders, origin: str) -> None:
        if "*" in self._origins:
            headers["Access-Control-Allow-Origin"] = "*"
        else:
            headers.add_vary_header("Origin")
            if origin not in self._origins:
                return
            headers["Access-Control-Allow-Origin"] = origin
        headers["Access-Control-Expose-Headers"] = EXPOSED
