"""What routes ask for: the services of the app, and a proven API key with the right scope."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Annotated, cast

from fastapi import Depends, Request, Security
from fastapi.security import APIKeyHeader, HTTPAuthorizationCredentials, HTTPBearer

from control.api.errors import Problem
from control.api.services import Services
from control.im.api import ImApi
from control.keys.api_keys import ApiKey

_header = APIKeyHeader(name="X-API-Key", scheme_name="ApiKey", auto_error=False)
_bearer = HTTPBearer(scheme_name="ApiKeyBearer", auto_error=False, description="The API key as bearer token")


def services(request: Request) -> Services:
    return cast(Services, request.app.state.services)


ServicesDep = Annotated[Services, Depends(services)]


class RateGate:
    """GCRA per API key: `burst` at once, `per_s` in the long run. Bounded by the number of keys."""

    def __init__(self, per_s: float, burst: int) -> None:
        self._cost = 1.0 / per_s
        self._span = self._cost * burst
        self._full: dict[str, float] = {}

    def take(self, key_id: str, now: float) -> float:
        """0.0 and a token is gone, or the seconds to wait."""
        full = max(self._full.get(key_id, 0.0), now) + self._cost
        wait = full - now - self._span
        if wait > 0:
            return wait
        self._full[key_id] = full
        return 0.0


def require(scope: str) -> Callable[..., ApiKey]:
    """The dependency of a route that needs an API key with this scope."""

    def prove(
        request: Request,
        state: ServicesDep,
        header: Annotated[str | None, Security(_header)],
        bearer: Annotated[HTTPAuthorizationCredentials | None, Security(_bearer)],
    ) -> ApiKey:
        text = header or (bearer.credentials if bearer is not None else "")
        key = state.api_keys.check(text, time.time()) if text else None
        if key is None:
            raise Problem(
                401,
                "unauthorized",
                "a valid API key is needed",
                {"WWW-Authenticate": 'Bearer realm="qianwan"'},
            )
        if scope not in key.scopes:
            raise Problem(403, "scope-missing", f"this API key lacks the scope {scope}", scope=scope)
        gate: RateGate = request.app.state.rate_gate
        wait = gate.take(key.id, time.monotonic())
        if wait:
            raise Problem(
                429,
                "rate-limited",
                "too many requests with this API key",
                {"Retry-After": str(int(wait) + 1)},
            )
        request.state.api_key = key
        return key

    return prove


TokenKey = Annotated[ApiKey, Depends(require("tokens"))]
MessageKey = Annotated[ApiKey, Depends(require("messages"))]
AdminKey = Annotated[ApiKey, Depends(require("admin"))]
ReadKey = Annotated[ApiKey, Depends(require("read"))]


def im_api(state: ServicesDep) -> ImApi:
    if state.im is None:
        raise Problem(503, "unavailable", "no message service can be reached", {"Retry-After": "1"})
    return state.im


ImDep = Annotated[ImApi, Depends(im_api)]
