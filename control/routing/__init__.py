"""Where a topic has members: topic -> gateways, with epochs."""

from __future__ import annotations

from control.routing.base import Routes


def make_routes() -> Routes:
    """The compiled table, loaded when somebody wants it."""
    from cmodules import same_build
    from control.routing import compact, table
    from crypto import sodium

    same_build(sodium, table, compact)
    return compact.CompactRoutes()
