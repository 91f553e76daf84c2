"""The highest rate that still meets its bounds: double until it does not, then halve the gap.

A step that was only late is measured once more before it counts as failed: one stall of a shared machine in
the first seconds would end the doubling far below it. What is lost, refused or closed
is never asked twice, nor a step of which less than HOPELESS arrived: no stall explains that.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from benchmarks.loadgen.fleet import Measured

KEEPING_UP = 0.97  # of the offered rate must arrive while the window is open
HOPELESS = 0.75  # of the offered rate, if less arrived
RATE_MAX = 5_000_000.0


@dataclass(frozen=True, slots=True)
class Bounds:
    """A passing load: nothing lost or refused, the rate kept, p99 of the latency within the bound."""

    p99_ms: float
    by_ack: bool = False  # judge acknowledgements, not deliveries

    def failure(self, measured: Measured) -> str | None:
        """Why it does not pass, None when it does."""
        return self.broken(measured) or self.late(measured)

    def broken(self, measured: Measured) -> str | None:
        """What no stall excuses."""
        if measured.lost or measured.duplicated or measured.reordered:
            return f"lost {measured.lost}, reordered {measured.reordered}, duplicated {measured.duplicated}"
        if measured.refused:
            return f"{measured.refused} refused with code {measured.refusal_code}"
        if measured.closed:
            return f"{measured.closed} connections were closed"
        return None

    def final(self, measured: Measured) -> bool:
        """Whether a second measurement of a failed step would not pass either."""
        return (
            self.broken(measured) is not None or measured.throughput_per_s < HOPELESS * measured.offered_per_s
        )

    def late(self, measured: Measured) -> str | None:
        """The rate not kept, or latencies out of the bound."""
        if measured.throughput_per_s < KEEPING_UP * measured.offered_per_s:
            return f"{measured.throughput_per_s:,.0f} of {measured.offered_per_s:,.0f}/s arrived in time"
        p99 = (measured.ack if self.by_ack else measured.delivery).percentile(99) / 1000
        return f"p99 {p99:.0f} ms" if p99 > self.p99_ms else None


@dataclass(slots=True)
class Point:
    """One step of a search."""

    rate: float
    measured: Measured
    failure: str | None


@dataclass(slots=True)
class HighestRate:
    """`best` is the highest passing step, or the first step when none passed. `points`: all measurements."""

    best: Point
    points: list[Point] = field(default_factory=list)


def find_highest_rate(
    measure: Callable[[float], Measured],
    bounds: Bounds,
    start: float,
    *,
    halvings: int = 3,
    seen: Callable[[Point], None] | None = None,
) -> HighestRate:
    """Search from `start` messages a second. `seen` is told of every measurement."""
    points: list[Point] = []

    def once(rate: float) -> Point:
        measured = measure(rate)
        point = Point(rate, measured, bounds.failure(measured))
        points.append(point)
        if seen is not None:
            seen(point)
        return point

    def step(rate: float) -> Point:
        point = once(rate)
        if point.failure is None or bounds.final(point.measured):
            return point
        return once(rate)

    good: Point | None = None
    rate = start
    while rate <= RATE_MAX:
        point = step(rate)
        if point.failure is not None:
            break
        good = point
        rate *= 2
    low, high = (good.rate, rate) if good is not None else (rate / 16, rate)
    for _ in range(halvings):
        middle = (low * high) ** 0.5
        point = step(middle)
        if point.failure is None:
            good, low = point, middle
        else:
            high = middle
    return HighestRate(good if good is not None else points[0], points)
