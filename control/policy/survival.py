"""How long a connection lives in silence: Kaplan-Meier over the idle gaps that connections had.

Each connection that ended tells one thing: it died in a gap of so long, or it lived through one of so long
and ended for another reason, which is a censored observation. At each gap t with d deaths among the n
connections that were seen to be silent for t or longer the share alive falls by d / n:

    S(t) = product over gaps g <= t of (1 - d_g / n_g)         E. L. Kaplan, P. Meier (1958)

with Greenwood's variance. Gaps are counted in bounds of 5 s to 2 h, so a cell is a hundred numbers whatever
comes.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

import msgspec
from msgspec import Struct

from control.policy.checks import BEAT_BYTES, BEAT_J, CELLULAR_J, CONNECT_BYTES, DAY_S, MAH_J
from control.policy.model import Constants
from frame.constants import DeathCause

BOUNDS = (
    *range(5, 60, 5),
    *range(60, 600, 15),
    *range(600, 1800, 60),
    *range(1800, 7201, 600),
)
"""Seconds. A gap counts at the last bound that it reached; below the first one it says nothing."""
DEATHS = (DeathCause.PONG_TIMEOUT, DeathCause.RESET)
"""A connection that vanished otherwise was ended by somebody."""
CELLS_MOST = 128
"""Networks and carriers that have a curve. Beyond: those of their network together."""
REST = "*"
LEAST_DEATHS, LEAST_SEEN = 5, 50
"""Before a curve says what a policy should be."""
DEATH_BEATS = 20
"""A death costs as much as so many beats: a connect, and messages that wait until it is noticed."""
SAFE_SHARE = 0.995


class Cell(Struct):
    """Of one network and carrier: by index of BOUNDS."""

    died: list[int] = []
    lived: list[int] = []

    def death(self, gap_s: float) -> None:
        self.died = _added(self.died, gap_s)

    def censored(self, gap_s: float) -> None:
        self.lived = _added(self.lived, gap_s)


class Point(Struct, kw_only=True, frozen=True):
    """`alive`: share of connections that live through a silence of `gap_s`; 95 % of all such estimates hold
    the true share between `low` and `high`."""

    gap_s: int
    at_risk: int
    died: int
    alive: float
    low: float
    high: float


class Curve(Struct, kw_only=True, frozen=True):
    net: str
    carrier: str
    deaths: int
    censored: int
    points: list[Point]


class Suggestion(Struct, kw_only=True, frozen=True):
    """`enough`: the curve has seen what it takes. Days and savings are of one device whose interval is the
    one the search begins with, against `than_s`."""

    enough: bool
    why: str
    constants: Constants
    alive: float
    than_s: float
    beats_a_day: float
    beats_saved_a_day: float
    mah_saved_a_day: float
    kib_saved_a_day: float
    deaths_a_day: float


def _index(gap_s: float) -> int:
    low, high = 0, len(BOUNDS)
    while low < high:
        middle = (low + high) // 2
        if BOUNDS[middle] <= gap_s:
            low = middle + 1
        else:
            high = middle
    return low - 1


def _added(counts: list[int], gap_s: float) -> list[int]:
    if (index := _index(gap_s)) < 0:
        return counts
    if len(counts) <= index:
        counts = counts + [0] * (index + 1 - len(counts))
    counts[index] += 1
    return counts


class Cells:
    """By network and carrier, at most CELLS_MOST of them."""

    def __init__(self) -> None:
        self.by_name: dict[str, Cell] = {}

    def of(self, net: str, carrier: str) -> Cell:
        name = f"{net} {carrier}"
        if (cell := self.by_name.get(name)) is not None:
            return cell
        if len(self.by_name) >= CELLS_MOST:
            name = f"{net} {REST}"
        return self.by_name.setdefault(name, Cell())


def merged(gateways: Iterable[Mapping[str, Cell]]) -> dict[str, Cell]:
    found: dict[str, Cell] = {}
    for cells in gateways:
        for name, cell in cells.items():
            have = found.get(name, Cell())
            found[name] = Cell(_sum(have.died, cell.died), _sum(have.lived, cell.lived))
    return found


def chosen(cells: Mapping[str, Cell], net: str, carrier: str) -> Cell:
    """Of this network and carrier; empty: any."""
    total = Cell()
    for name, cell in cells.items():
        its_net, _, its_carrier = name.partition(" ")
        if net in ("", its_net) and carrier in ("", its_carrier):
            total = Cell(_sum(total.died, cell.died), _sum(total.lived, cell.lived))
    return total


def _sum(a: Sequence[int], b: Sequence[int]) -> list[int]:
    longer, shorter = (a, b) if len(a) >= len(b) else (b, a)
    return [n + (shorter[i] if i < len(shorter) else 0) for i, n in enumerate(longer)]


def curve_of(cell: Cell, net: str = "", carrier: str = "") -> Curve:
    """Points where something was seen."""
    size = max(len(cell.died), len(cell.lived))
    died = _sum(cell.died, [0] * size)
    lived = _sum(cell.lived, [0] * size)
    at_risk = sum(died) + sum(lived)
    alive, greenwood = 1.0, 0.0
    points: list[Point] = []
    for index in range(size):
        d, n = died[index], at_risk
        if d or lived[index]:
            alive *= 1 - d / n
            greenwood = greenwood + d / (n * (n - d)) if n > d else math.inf
            low, high = _interval(alive, greenwood)
            points.append(Point(gap_s=BOUNDS[index], at_risk=n, died=d, alive=alive, low=low, high=high))
        at_risk -= d + lived[index]
    return Curve(net=net, carrier=carrier, deaths=sum(died), censored=sum(lived), points=points)


def _interval(alive: float, greenwood: float) -> tuple[float, float]:
    """On the log(-log) scale, which stays within 0 and 1."""
    if alive <= 0 or alive >= 1 or greenwood == math.inf:
        return (0.0, 0.0) if alive <= 0 else (alive, alive)
    width = 1.96 * math.sqrt(greenwood) / abs(math.log(alive))
    return alive ** math.exp(width), alive ** math.exp(-width)


def alive_at(curve: Curve, gap_s: float) -> float:
    share = 1.0
    for point in curve.points:
        if point.gap_s > gap_s:
            break
        share = point.alive
    return share


def suggest(curve: Curve, than_s: float, base: Constants) -> Suggestion:
    """The interval that costs least, a death counted as DEATH_BEATS beats; only as long as gaps were seen."""
    enough = curve.deaths >= LEAST_DEATHS and curve.deaths + curve.censored >= LEAST_SEEN
    why = (
        f"{curve.deaths} deaths of {curve.deaths + curve.censored} ends"
        if enough
        else f"{curve.deaths} deaths of {curve.deaths + curve.censored} ends are too few:"
        f" {LEAST_DEATHS} of {LEAST_SEEN} at least"
    )
    least, most = 30, 1200
    seen = [point.gap_s for point in curve.points if least <= point.gap_s <= most]
    tried = sorted({int(than_s), *seen}) if enough else [int(than_s)]
    start = min(tried, key=lambda gap: (1 + DEATH_BEATS * (1 - alive_at(curve, gap))) / gap)
    start = max(start - round(base.margin_s), least) if enough and start != int(than_s) else start
    safe = max((gap for gap in seen if alive_at(curve, gap) >= SAFE_SHARE), default=least)
    floor = float(min(max(safe - base.margin_s, least), start))
    ceiling = float(max(seen[-1] if seen else start, start))
    constants = msgspec.structs.replace(
        base,
        ping_interval_s=float(start),
        floor_s=floor if enough else min(base.floor_s, start),
        ceiling_s=ceiling if enough else max(base.ceiling_s, start),
        foreground_s=min(base.foreground_s, ceiling if enough else base.ceiling_s),
    )
    constants = msgspec.structs.replace(
        constants,
        margin_s=min(base.margin_s, max(constants.floor_s / 2, 1.0)),
        step_s=min(base.step_s, max(constants.ceiling_s - constants.floor_s, 1.0)),
    )
    saved = DAY_S / than_s - DAY_S / start
    joule = BEAT_J.get(curve.net, CELLULAR_J)
    dying = DAY_S / start * (1 - alive_at(curve, start))
    before = DAY_S / than_s * (1 - alive_at(curve, than_s))
    return Suggestion(
        enough=enough,
        why=why,
        constants=constants,
        alive=alive_at(curve, start),
        than_s=than_s,
        beats_a_day=DAY_S / start,
        beats_saved_a_day=saved,
        mah_saved_a_day=saved * joule * MAH_J,
        kib_saved_a_day=(saved * BEAT_BYTES + (before - dying) * CONNECT_BYTES) / 1024,
        deaths_a_day=dying,
    )
