"""GET /v1/admin/routes: whether every im process routes to the gateways what they have."""

from __future__ import annotations

from control.api.admin.route import Ask, Given, Reply, Route
from control.im.route_report import RoutesAnswer
from control.keys.api_keys import VIEWER


class RoutesQuery(Given):
    """No members."""


async def compare(ask: Ask[RoutesQuery]) -> Reply:
    return Reply(await ask.services.routes())


DOC = (
    "Topics and sessions of each gateway, compared with what each im process has of them. By sums, taken at"
    " one point of each stream: `equal` holds under load too, but for a moment after something began"
)
ROUTES = (Route("GET", "/routes", "routes.check", VIEWER, "routes", DOC, RoutesQuery, RoutesAnswer, compare),)
