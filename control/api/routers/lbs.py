"""GET /v1/lbs: where a user should connect, and the keys to trust there."""

from __future__ import annotations

import re
import time
from base64 import urlsafe_b64encode
from collections.abc import Iterable
from typing import Annotated, Literal

from fastapi import APIRouter, Query, Request, Response

from control.api.deps import ServicesDep
from control.api.errors import Problem
from control.api.schemas.common import problems
from control.api.schemas.lbs import GatewayAddress, LbsAnswer
from control.coordination.base import NodeInfo
from control.coordination.same_root import of_root
from control.lbs.placement import place
from control.settings.values import is_wildcard, parse_address
from frame.constants import ID_PATTERN, WS_PATH, Suite

router = APIRouter(prefix="/v1", tags=["access"])

SUITES = [int(suite) for suite in (Suite.AEGIS128L, Suite.CHACHAPOLY, Suite.AESGCM)]
_HOST = re.compile(r"[A-Za-z0-9.:-]{1,253}")
_NAME = f"^({ID_PATTERN})?$"
NameQuery = Annotated[str, Query(pattern=_NAME)]


@router.get("/lbs", responses=problems(422, 500, 503))
async def lbs(
    request: Request,
    response: Response,
    state: ServicesDep,
    user: NameQuery = "",
    device: NameQuery = "",
    transport: Literal["tcp", "ws"] = "tcp",
    zone: NameQuery = "",
    isp: NameQuery = "",
) -> LbsAnswer:
    """Gateways in the order to try, stable per device, and the keys to trust. No API key is needed."""
    control = state.settings.control
    gateways = of_root(state.coordination.nodes("gateway"), state.root)
    nodes = place(gateways, user, device, zone, isp, control.lbs_answers)
    if not nodes:
        raise Problem(503, "unavailable", "no gateway takes connections now", {"Retry-After": "1"})
    response.headers["Cache-Control"] = f"private, max-age={control.lbs_ttl_s}"
    return LbsAnswer(
        gateways=_once(_address(node, transport, request) for node in nodes),
        root=state.root,
        key_set=urlsafe_b64encode(state.key_set()).rstrip(b"=").decode(),
        suites=SUITES,
        ttl_s=control.lbs_ttl_s,
        server_time_ms=int(time.time() * 1000),
    )


def _once(found: Iterable[GatewayAddress]) -> list[GatewayAddress]:
    """Each address once: several nodes may be behind one proxy."""
    return list({(one.host, one.port): one for one in found}.values())


def _address(node: NodeInfo, transport: Literal["tcp", "ws"], request: Request) -> GatewayAddress:
    if transport == "ws" and node.wss:
        host, port = parse_address(node.wss)
        return GatewayAddress(host=host, port=port, transport="wss", node=node.name, path=WS_PATH)
    path = WS_PATH if transport == "ws" else None
    host = _host(node.host, request)
    return GatewayAddress(host=host, port=node.port, transport=transport, node=node.name, path=path)


def _host(host: str, request: Request) -> str:
    """A gateway that listens everywhere is this process: it is reached by the name the client has used."""
    if not is_wildcard(host):
        return host
    used = request.url.hostname or ""
    return used if _HOST.fullmatch(used) else str(request.scope["server"][0])
