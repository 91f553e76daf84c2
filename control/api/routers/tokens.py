"""POST /v1/tokens: a token for a user of the app."""

from __future__ import annotations

import time

from fastapi import APIRouter

from control.api.deps import ServicesDep, TokenKey
from control.api.errors import Problem
from control.api.schemas.common import GUARDED
from control.api.schemas.tokens import TokenAnswer, TokenRequest

router = APIRouter(prefix="/v1", tags=["access"])


@router.post("/tokens", status_code=201, responses=GUARDED)
async def create_token(body: TokenRequest, key: TokenKey, state: ServicesDep) -> TokenAnswer:
    """Sign a token with which `user` can log in at a gateway. The scope `tokens` is needed."""
    auth = state.settings.auth
    ttl_s = body.ttl_s if body.ttl_s is not None else auth.token_ttl_s
    if ttl_s > auth.token_max_ttl_s:
        raise Problem(422, "invalid", f"ttl_s may be at most {auth.token_max_ttl_s}")
    now = int(time.time())
    try:
        token = state.signer().sign(
            body.user, now, ttl_s, body.device, body.cnf.model_dump() if body.cnf else None
        )
    except ValueError as error:
        raise Problem(422, "invalid", str(error)) from None
    return TokenAnswer(token=token, expires_at=now + ttl_s)
