"""GET /v1/admin/self: whose key this is."""

from __future__ import annotations

from msgspec import Struct

from control.api.admin.documents import Nothing
from control.api.admin.route import Ask, Reply, Route
from control.keys.api_keys import VIEWER


class Self(Struct, kw_only=True):
    key_id: str
    name: str
    roles: list[str]
    expires_at: int
    """unix seconds; 0: never"""
    node: str
    """the process that answers"""


async def show(ask: Ask[Nothing]) -> Reply:
    key = ask.key
    answer = Self(
        key_id=key.id,
        name=key.name,
        roles=list(key.roles),
        expires_at=key.expires_at,
        node=ask.services.settings.node_name,
    )
    return Reply(answer)


ROUTES = (
    Route("GET", "/self", "self", VIEWER, "self", "The key that asks, and its roles", Nothing, Self, show),
)
