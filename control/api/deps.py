"""What routes ask for: the services of the app, and a proven API key with the right scope."""

from __future__ import annotations

import re
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Annotated, cast

from fastapi import Depends, Request, Security
from fastapi.security import APIKeyHeader, HTTPAuthorizationCredentials, HTTPBearer

from control.api.audit import client_address, words_of
from control.api.errors import Problem
from control.api.rate_gate import RateGate
from control.api.services import Services
from control.audit.entry import Ids
from control.im.api import ImApi
from control.keys.api_keys import ApiKey, parts_of
from control.logs import get_logger
from frame.constants import ID_PATTERN

log = get_logger("api")

_header = APIKeyHeader(name="X-API-Key", scheme_name="ApiKey", auto_error=False)
_bearer = HTTPBearer(scheme_name="ApiKeyBearer", auto_error=False, description="The API key as bearer token")


MALFORMED = "-"
"""The id of all keys that have none."""
LATEST_S = 86_400
"""The longest wait that is told."""


def services(request: Request) -> Services:
    return cast(Services, request.app.state.services)


ServicesDep = Annotated[Services, Depends(services)]


class Needs(ABC):
    """The dependency of a route that needs an API key. Every route has one, or is named as open to all."""

    async def __call__(
        self,
        request: Request,
        state: ServicesDep,
        header: Annotated[str | None, Security(_header)],
        bearer: Annotated[HTTPAuthorizationCredentials | None, Security(_bearer)],
    ) -> ApiKey:
        text = header or (bearer.credentials if bearer is not None else "")
        key = _prove(text, request, state)
        request.state.api_key, request.state.api_key_text = key, text
        if wait := self.gate(state).take(key.id, time.monotonic()):
            raise later("rate-limited", "too many requests with this API key", wait)
        await self.refuse(key, request, state)
        return key

    @abstractmethod
    def gate(self, state: Services) -> RateGate:
        """By which keys are counted."""

    @abstractmethod
    async def refuse(self, key: ApiKey, request: Request, state: Services) -> None:
        """Problem 403 when this key may not, 429 when it may not so often."""


class NeedsScope(Needs):
    """Of the API for app servers."""

    def __init__(self, scope: str) -> None:
        self.scope = scope

    def gate(self, state: Services) -> RateGate:
        return state.rate_gate

    async def refuse(self, key: ApiKey, request: Request, state: Services) -> None:
        if self.scope not in key.scopes:
            raise Problem(
                403, "scope-missing", f"this API key lacks the scope {self.scope}", scope=self.scope
            )


class NeedsRole(Needs):
    """Of the admin API. Who tries to change what they may not is in the audit log. `patterns`: of path
    parameters; what does not match is not told.
    """

    def __init__(self, role: str, what: str, changes: bool, patterns: Mapping[str, str]) -> None:
        self.role = role
        self.what = what
        self.changes = changes
        self.patterns = patterns

    def gate(self, state: Services) -> RateGate:
        return state.operator_gate

    async def refuse(self, key: ApiKey, request: Request, state: Services) -> None:
        if not key.holds(self.role):
            if self.changes:
                ids: Ids = {
                    name: value
                    for name, value in request.path_params.items()
                    if re.fullmatch(self.patterns.get(name, ID_PATTERN), value)
                }
                words = words_of(request, self.what, "admin", ids)
                words.outcome = "refused role-missing"
                await state.audit.refusals.tell(words)
            raise Problem(403, "role-missing", f"this API key lacks the role {self.role}", role=self.role)
        if self.changes and (wait := state.change_gate.take(key.id, time.monotonic())):
            raise later("rate-limited", "too many changes with this API key", wait)


def _prove(text: str, request: Request, state: Services) -> ApiKey:
    """The key, whatever others guessed before it; Problem 401 where there is none, 429 for who has guessed
    too often.
    """
    address, now = client_address(request), time.monotonic()
    named = parts_of(text)[0]
    key_id = named or MALFORMED
    if text:
        key = state.api_keys.proven(text)
        over = key.over(time.time()) if key is not None else ""
        if key is not None and not over:
            return key
        if key is None and state.api_keys.may_be(named):
            raise Problem(503, "documents-unavailable", "API keys are not known yet", {"Retry-After": "1"})
        wait = state.lockout.wait(address, key_id, now)
        if wait:
            raise later("locked-out", "too many wrong API keys from this address", wait)
        if over:
            log.warning("an API key was refused", key=key_id, why=over, address=address)
        state.lockout.failed(address, key_id, now)
    challenge = {"WWW-Authenticate": 'Bearer realm="qianwan"'}
    raise Problem(401, "unauthorized", "a valid API key is needed", challenge)


def later(slug: str, detail: str, wait: float) -> Problem:
    return Problem(429, slug, detail, {"Retry-After": str(int(min(wait, LATEST_S)) + 1)})


TokenKey = Annotated[ApiKey, Depends(NeedsScope("tokens"))]


def im_api(state: ServicesDep) -> ImApi:
    if state.im is None:
        raise Problem(503, "unavailable", "no message service can be reached", {"Retry-After": "1"})
    return state.im


ImDep = Annotated[ImApi, Depends(im_api)]
