"""Where a topic has members: topic -> gateways, with epochs."""

from __future__ import annotations

from functools import cache

from control.routing.base import Routes, TopicSum


def make_routes() -> Routes:
    """The compiled table, loaded when somebody wants it."""
    _load()
    from control.routing.compact import CompactRoutes

    return CompactRoutes()


def make_sum(node: int, epoch: int) -> TopicSum:
    """Of the topics of this gateway epoch."""
    _load()
    from control.routing import compact

    return compact.TopicSum(node, epoch)


@cache
def _load() -> None:
    from cmodules import same_build
    from control.routing import compact, table
    from crypto import sodium

    same_build(sodium, table, compact)
