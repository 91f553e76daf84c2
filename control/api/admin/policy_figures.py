"""How those fare who go by a policy, how long connections live in silence, and what follows from that."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

from control.api.admin.documents import Nothing
from control.api.admin.route import Ask, Given, Reply, Route
from control.keys.api_keys import VIEWER
from control.policy.arms import Arm, Counts
from control.policy.documents import Canary
from control.policy.model import Constants
from control.policy.survival import Cell, Curve, Suggestion, chosen, curve_of, suggest


class ArmShown(Struct, kw_only=True):
    """One version. `arm`: current, canary, or old: some sessions have not heard of another yet. `an_hour`:
    of a thousand connections. `lost`: that gateways saw vanish."""

    policy: str
    version: int
    arm: str
    sessions: int
    connected_h: float
    beats: int
    ends: int
    deaths: int
    lost: int
    deaths_an_hour: float
    reconnects_an_hour: float
    rtt_ms: float
    kib_an_hour: float


class Evidence(Struct, kw_only=True):
    """Of the guard: 1.0 is a breach, below -0.4 the test has begun anew. Empty unless the process that
    answers is the one that watches."""

    policy: str
    metric: str
    evidence: float


class PolicyStats(Struct, kw_only=True):
    """`versions`: sessions by the client's version. `silent`: gateways that did not answer."""

    arms: list[ArmShown]
    evidence: list[Evidence]
    versions: dict[str, int]
    silent: list[str]


class CurveQuery(Given, kw_only=True):
    """Empty: any."""

    net: Annotated[str, Meta(max_length=16)] = ""
    carrier: Annotated[str, Meta(max_length=32)] = ""


class SuggestQuery(Given, kw_only=True):
    """`than_s`: the interval that the savings are against."""

    net: Annotated[str, Meta(max_length=16)] = ""
    carrier: Annotated[str, Meta(max_length=32)] = ""
    than_s: Annotated[float, Meta(ge=5, le=1800)] = 240.0


class CurveCell(Struct, kw_only=True):
    net: str
    carrier: str
    deaths: int
    censored: int


class CurvesShown(Struct, kw_only=True):
    """`seen`: networks and carriers that something is known of, the most first."""

    curve: Curve
    seen: list[CurveCell]
    silent: list[str]


async def stats(ask: Ask[Nothing]) -> Reply:
    room = ask.services.policy
    fleet = await room.fleet.gather()
    states = {state.name: (state.number, state.canary) for state, _ in await room.documents.states()}
    arms = [_arm(arm, counts, states) for arm, counts in sorted(fleet.arms().items())]
    evidence = [
        Evidence(policy=name, metric=metric, evidence=round(test.llr / test.upper, 3))
        for name, watch in room.guard.watches().items()
        for metric, test in watch.tests.items()
    ]
    return Reply(PolicyStats(arms=arms, evidence=evidence, versions=fleet.versions(), silent=fleet.silent))


def _arm(arm: Arm, counts: Counts, states: dict[str, tuple[int, Canary | None]]) -> ArmShown:
    name, _, text = arm.rpartition("/")
    number, canary = states.get(name, (0, None))
    hours = counts.connected_s / 3600
    kind = "current" if int(text) == number else "canary" if canary and canary.number == int(text) else "old"
    return ArmShown(
        policy=name,
        version=int(text),
        arm=kind,
        sessions=counts.sessions,
        connected_h=round(hours, 3),
        beats=counts.pings,
        ends=counts.ends,
        deaths=counts.deaths,
        lost=counts.silent + counts.resets + counts.vanished,
        deaths_an_hour=round(1000 * counts.deaths / hours, 3) if hours else 0.0,
        reconnects_an_hour=round(1000 * counts.ends / hours, 3) if hours else 0.0,
        rtt_ms=round(counts.rtt_ms, 3),
        kib_an_hour=round(counts.kib_an_hour, 3),
    )


async def curve(ask: Ask[CurveQuery]) -> Reply:
    fleet = await ask.services.policy.fleet.gather()
    cells, wanted = fleet.cells(), ask.given
    shown = curve_of(chosen(cells, wanted.net, wanted.carrier), wanted.net, wanted.carrier)
    return Reply(CurvesShown(curve=shown, seen=_seen(cells), silent=fleet.silent))


def _seen(cells: dict[str, Cell]) -> list[CurveCell]:
    found = [
        CurveCell(
            net=name.partition(" ")[0],
            carrier=name.partition(" ")[2],
            deaths=sum(cell.died),
            censored=sum(cell.lived),
        )
        for name, cell in cells.items()
    ]
    return sorted(found, key=lambda cell: -(cell.deaths + cell.censored))


async def suggestion(ask: Ask[SuggestQuery]) -> Reply:
    fleet = await ask.services.policy.fleet.gather()
    wanted = ask.given
    shown = curve_of(chosen(fleet.cells(), wanted.net, wanted.carrier), wanted.net, wanted.carrier)
    return Reply(suggest(shown, wanted.than_s, Constants()))


ROUTES = (
    Route(
        "GET", "/heartbeat/stats", "policies.stats", VIEWER, "policies",
        "Versions in use, the arms of canaries, and the evidence against them", Nothing, PolicyStats, stats,
    ),
    Route(
        "GET", "/heartbeat/curve", "policies.curve", VIEWER, "policies",
        "Share of connections alive over the silence they had, of a network and carrier", CurveQuery,
        CurvesShown, curve,
    ),
    Route(
        "GET", "/heartbeat/suggestion", "policies.suggest", VIEWER, "policies",
        "The constants that a curve speaks for, and what they would save", SuggestQuery,
        Suggestion, suggestion,
    ),
)  # fmt: skip
