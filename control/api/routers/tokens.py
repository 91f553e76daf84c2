"""POST /v1/tokens: a token for a user of the app; POST /v1/tokens/revoke: those that it has are over."""

from __future__ import annotations

import time

import msgspec
from fastapi import APIRouter, Request
from fastapi.responses import Response

from control.api.audit import audited
from control.api.deps import ServicesDep, TokenKey
from control.api.errors import Problem
from control.api.idempotency import PARAMETER, replayable
from control.api.schemas.common import GUARDED, problems
from control.api.schemas.tokens import RevokeAnswer, RevokeRequest, TokenAnswer, TokenRequest
from control.api.services import Services
from control.audit.entry import Ids
from im_service.accounts.profiles import UserArgs
from im_service.errors import Code, ImError

router = APIRouter(prefix="/v1", tags=["access"])


@router.post(
    "/tokens",
    status_code=201,
    response_model=TokenAnswer,
    responses=GUARDED | problems(409, 503, 504),
    openapi_extra={"parameters": [PARAMETER]},
)
async def create_token(request: Request, body: TokenRequest, key: TokenKey, state: ServicesDep) -> Response:
    """Sign a token with which `user` can log in at a gateway. The scope `tokens` is needed. A disabled
    account gets none (403)."""

    if request.query_params:
        raise Problem(422, "invalid", "this route takes no query parameters")

    async def handle() -> Response:
        ids: Ids = {"user": body.user}
        if body.device:
            ids["device"] = body.device
        async with audited(request, state, "token.create", ids):
            answer = _sign(body, state)
            await _refuse_disabled(body.user, state)
        return Response(answer.model_dump_json(), 201, media_type="application/json")

    return await replayable(request.app.state.idempotency, request, key.id, handle)


@router.post(
    "/tokens/revoke",
    response_model=RevokeAnswer,
    responses=GUARDED | problems(409, 503, 504),
    openapi_extra={"parameters": [PARAMETER]},
)
async def revoke_tokens(request: Request, body: RevokeRequest, key: TokenKey, state: ServicesDep) -> Response:
    """All tokens of `user`, or those used on `device`, that were signed before the answer are over, at every
    gateway within moments; who is logged in with one is closed with 4002. Each call is a revocation of its
    own, a repetition under the same Idempotency-Key is not. The scope `tokens` is needed."""

    if request.query_params:
        raise Problem(422, "invalid", "this route takes no query parameters")

    async def handle() -> Response:
        ids: Ids = {"user": body.user}
        if body.device:
            ids["device"] = body.device
        async with audited(request, state, "token.revoke", ids):
            moment = await state.revocations.revoke(body.user, body.device)
        return Response(RevokeAnswer(not_before=moment).model_dump_json(), media_type="application/json")

    return await replayable(request.app.state.idempotency, request, key.id, handle)


def _sign(body: TokenRequest, state: Services) -> TokenAnswer:
    auth = state.settings.auth
    ttl_s = body.ttl_s if body.ttl_s is not None else auth.token_ttl_s
    if ttl_s > auth.token_max_ttl_s:
        raise Problem(422, "invalid", f"ttl_s may be at most {auth.token_max_ttl_s}")
    now = int(time.time())
    try:
        token = state.signer().sign(
            body.user,
            now,
            ttl_s,
            body.device,
            body.cnf.model_dump() if body.cnf else None,
            state.revocations.latest(body.user),
        )
    except ValueError as error:
        raise Problem(422, "invalid", str(error)) from None
    return TokenAnswer(token=token, expires_at=now + ttl_s)


async def _refuse_disabled(user: str, state: Services) -> None:
    """Where no message service answers, the token is signed: at the login it is asked again."""
    if state.im is None:
        return
    try:
        account = msgspec.to_builtins(await state.im.call("account.get", UserArgs(user=user)))
    except ImError as error:
        if error.code in (Code.UNAVAILABLE, Code.TIMEOUT):
            return
        raise
    until_ms = account["disabled_until_ms"]
    if until_ms > time.time() * 1000:
        raise ImError(Code.ACCOUNT_DISABLED, None, {"until_ms": until_ms})
