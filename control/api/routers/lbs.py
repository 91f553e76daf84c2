"""GET /v1/lbs: where a user should connect, and the keys to trust there."""

from __future__ import annotations

import re
import time
from typing import Annotated, Literal

import msgspec
from fastapi import APIRouter, Query, Request, Response

from control.api.deps import ServicesDep
from control.api.errors import Problem
from control.api.etags import etag_of, unless_known
from control.api.schemas.common import Responses, problems
from control.api.schemas.lbs import LbsAnswer
from control.api.services import LbsServices
from control.lbs.balancer import Answer, reached_at
from control.lbs.client_address import client_address, prefix_of
from control.lbs.sealed import Question
from control.lbs.tables import IpAddress
from frame.constants import ID_PATTERN

PATH = "/v1/lbs"
router = APIRouter(prefix="/v1", tags=["access"])

_HOST = re.compile(r"[A-Za-z0-9.:-]{1,253}")
NameQuery = Annotated[str, Query(pattern=f"^({ID_PATTERN})?$")]
NOT_MODIFIED: Responses = {304: {"description": "If-None-Match names this answer"}}


@router.get("/lbs", response_model=LbsAnswer, responses=NOT_MODIFIED | problems(422, 429, 500, 503))
async def lbs(
    request: Request,
    state: ServicesDep,
    user: NameQuery = "",
    device: NameQuery = "",
    transport: Literal["tcp", "ws"] = "tcp",
    zone: NameQuery = "",
    isp: NameQuery = "",
    network: NameQuery = "",
    nonce: NameQuery = "",
) -> Response:
    """Gateways in the order to try, stable per device, and the keys to trust. No API key is needed.

    `signed` holds the same under the root's signature, with the question: what came through others is
    believed by that. `nonce` comes back in it, and proves that the answer is new to a client whose clock is
    wrong.
    """
    address = admitted(request, state.lbs)
    asked = Question(user, device, transport, zone, isp, network, nonce)
    answer = state.lbs.balancer.answer(asked, address)
    if not answer.sealed.gateways:
        raise Problem(503, "unavailable", "no gateway takes connections now", {"Retry-After": "1"})
    body = msgspec.json.encode(_shown(answer, state.lbs.balancer.root, request))
    return unless_known(request, body, etag_of(body), {"Cache-Control": _kept(answer, state.lbs)})


def admitted(request: Request, lbs: LbsServices) -> IpAddress | None:
    """The client's address. Raises the problem of one that asks too often."""
    peer = request.client.host if request.client is not None else ""
    address = client_address(peer, request.headers.getlist("x-forwarded-for"), lbs.proxies)
    if wait := lbs.rates.take(prefix_of(address), time.monotonic()):
        headers = {"Retry-After": str(int(wait) + 1)}
        raise Problem(429, "rate-limited", "too many questions from this address", headers)
    return address


def _shown(answer: Answer, root: str, request: Request) -> dict[str, object]:
    sealed = answer.sealed
    return {
        "gateways": reached_at(sealed.gateways, _host(request)),
        "root": root,
        "key_set": sealed.key_set,
        "suites": sealed.suites,
        "issued_at": sealed.issued_at,
        "ttl_s": sealed.ttl_s,
        "keep_s": sealed.keep_s,
        "signed": answer.signed,
    }


def _kept(answer: Answer, lbs: LbsServices) -> str:
    """Whoever stands in between may keep what does not hang on who asks."""
    asked = answer.sealed.asked
    if asked.nonce:
        return "no-store"
    own = asked.user or asked.device or lbs.balancer.asks_addresses
    return f"{'private' if own else 'public'}, max-age={answer.left_s}"


def _host(request: Request) -> str:
    """The name by which the client has reached this process."""
    used = request.url.hostname or ""
    return used if _HOST.fullmatch(used) else str(request.scope["server"][0])
