"""Who is let in, for the whole cluster and for one gateway, while it happens."""

from __future__ import annotations

from typing import Literal

from control.api.admin import documents
from control.api.admin.documents import Gone, Nothing
from control.api.admin.nodes import PATTERNS, known, life_of
from control.api.admin.route import Ask, Given, Reply, Route
from control.api.errors import Problem
from control.gateway.admission import StormOrder
from control.keys.api_keys import OPERATOR, VIEWER
from control.settings.values import Rate, slow_rates


class StormWanted(Given, kw_only=True):
    """A rate is of clients a second, at least 0.001; 0: no limit, null: as the settings say."""

    new_per_s: Rate | None = None
    known_per_s: Rate | None = None
    admit: Literal["all", "known", "none"] = "all"

    def __post_init__(self) -> None:
        for name, problem in slow_rates(new_per_s=self.new_per_s, known_per_s=self.known_per_s):
            raise ValueError(f"{name}: {problem}")


def _key(ask: Ask[Given]) -> str:
    return f"storm/node/{ask.path['node']}" if ask.path else "storm/cluster"


async def shown(ask: Ask[Nothing]) -> Reply:
    return await documents.show(ask, _key(ask), StormOrder, StormOrder())


async def ordered(ask: Ask[StormWanted]) -> Reply:
    wanted = ask.given
    order = StormOrder(
        new_per_s=wanted.new_per_s,
        known_per_s=wanted.known_per_s,
        admit=wanted.admit,
        epoch=_life(ask) if ask.path else 0,
    )
    return await documents.put(ask, _key(ask), order)


def _life(ask: Ask[StormWanted]) -> int:
    """Problem 404, 422: a name that was mistyped would wait for a node that never comes."""
    info = known(ask)
    if "gateway" not in info.roles:
        raise Problem(422, "invalid", f"{info.name} is no gateway: nobody comes in there")
    return life_of(ask, info)


async def ended(ask: Ask[Nothing]) -> Reply:
    return await documents.drop(ask, _key(ask))


def _routes(path: str, where: str, whom: str) -> tuple[Route[Nothing] | Route[StormWanted], ...]:
    return (
        Route(
            "GET", path, f"storm.{where}.get", VIEWER, "storms",
            f"Who is let in {whom}; revision 0: no order", Nothing, StormOrder, shown,
            has_etag=True, patterns=PATTERNS,
        ),
        Route(
            "PUT", path, f"storm.{where}.order", OPERATOR, "storms", f"Say who is let in {whom}",
            StormWanted, StormOrder, ordered, revised=True, has_etag=True, patterns=PATTERNS,
        ),
        Route(
            "DELETE", path, f"storm.{where}.end", OPERATOR, "storms", f"Let in {whom} as the settings say",
            Nothing, Gone, ended, revised=True, has_etag=True, patterns=PATTERNS,
        ),
    )  # fmt: skip


ROUTES = (
    *_routes("/storm/cluster", "cluster", "at all gateways together"),
    *_routes("/storm/nodes/{node}", "node", "at one gateway"),
)
