"""GET /v1/admin/lbs: why a client is sent where it is sent, and the nodes as LBS sees them."""

from __future__ import annotations

import ipaddress
from typing import Annotated, Literal

from msgspec import Meta

from control.api.admin.route import Ask, Given, Reply, Route
from control.api.errors import Problem
from control.keys.api_keys import VIEWER
from control.lbs.balancer import Why
from control.lbs.sealed import Question
from control.lbs.simulate import LbsNodes, told
from frame.constants import ID_PATTERN

Name = Annotated[str, Meta(pattern=f"^({ID_PATTERN})?$")]


class LbsQuestion(Given):
    """As a client asks; `address`: the client's."""

    user: Name = ""
    device: Name = ""
    transport: Literal["tcp", "ws"] = "tcp"
    zone: Name = ""
    isp: Name = ""
    network: Name = ""
    address: Annotated[str, Meta(max_length=64)] = ""


class LbsQuery(Given):
    """No members."""


async def explain(ask: Ask[LbsQuestion]) -> Reply:
    given = ask.given
    try:
        address = ipaddress.ip_address(given.address) if given.address else None
    except ValueError as error:
        raise Problem(422, "invalid", str(error)) from None
    question = Question(given.user, given.device, given.transport, given.zone, given.isp, given.network)
    return Reply(ask.services.lbs.balancer.explain(question, address))


async def nodes(ask: Ask[LbsQuery]) -> Reply:
    balancer = ask.services.lbs.balancer
    return Reply(LbsNodes(told(balancer.nodes()), balancer.all_near()))


EXPLAIN = (
    "How the answer for this client comes about: which source knows its zone, carrier and network, the class"
    " of each node in the order to try, and the nodes that are left out with the reason"
)
NODES = "The gateways as LBS sees them, and which zones are near others"
ROUTES = (
    Route("GET", "/lbs/explain", "lbs.explain", VIEWER, "lbs", EXPLAIN, LbsQuestion, Why, explain),
    Route("GET", "/lbs/nodes", "lbs.nodes", VIEWER, "lbs", NODES, LbsQuery, LbsNodes, nodes),
)
