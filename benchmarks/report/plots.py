"""Plots as inline SVG: lines over two axes (each linear or logarithmic) and lying bars. No script, no
external file.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from html import escape

WIDTH, HEIGHT = 640, 340
LEFT, RIGHT, TOP, BOTTOM = 76, 28, 16, 48
BAR_LEFT, BAR_RIGHT = 12, 64  # the value of the longest bar stands behind it
BAR, BAR_HEAD, BAR_GAP = 11, 19, 6
COLOURS = ("#2563eb", "#dc2626", "#059669", "#d97706", "#7c3aed", "#0891b2", "#be185d", "#4d7c0f")


@dataclass(frozen=True, slots=True)
class Series:
    """A named line; points are (x, y), drawn in order of x."""

    name: str
    points: Sequence[tuple[float, float]]


@dataclass(slots=True)
class Axis:
    """Maps values to pixels. A logarithmic axis needs positive values."""

    label: str
    log: bool = False
    low: float = 0.0
    high: float = 1.0
    ticks: list[float] = field(default_factory=list)

    def fit(self, values: Sequence[float]) -> None:
        """Choose limits and ticks that hold all values."""
        if self.log:
            exponents = [math.log10(value) for value in values if value > 0] or [0.0]
            first, last = math.floor(min(exponents)), math.ceil(max(exponents))
            last = max(last, first + 1)
            self.low, self.high = 10.0**first, 10.0**last
            self.ticks = [10.0**e for e in range(first, last + 1)]
            return
        top = max([*values, 0.0]) or 1.0
        step = _nice(top / 5)
        count = math.ceil(top / step - 1e-9)
        self.low, self.high = 0.0, step * count
        self.ticks = [step * i for i in range(count + 1)]

    def at(self, value: float) -> float:
        """0 at the low end, 1 at the high end."""
        if self.log:
            low, high = math.log10(self.low), math.log10(self.high)
            return (math.log10(max(value, self.low)) - low) / (high - low)
        return (value - self.low) / (self.high - self.low)


def _nice(value: float) -> float:
    """The next of 1, 2, 2.5, 5 times a power of ten."""
    power = 10.0 ** math.floor(math.log10(value))
    return next(power * factor for factor in (1, 2, 2.5, 5, 10) if power * factor >= value * (1 - 1e-9))


def short(value: float) -> str:
    """A number for an axis: 12 k, 3.5 M, 0.2."""
    for size, unit in ((1e9, " G"), (1e6, " M"), (1e3, " k")):
        if abs(value) >= size:
            return f"{value / size:.3g}{unit}"
    return f"{value:.3g}"


def _x(share: float) -> float:
    return LEFT + share * (WIDTH - LEFT - RIGHT)


def _y(share: float) -> float:
    return HEIGHT - BOTTOM - share * (HEIGHT - TOP - BOTTOM)


def _frame(x: Axis, y: Axis) -> list[str]:
    parts = []
    for tick in y.ticks:
        at = _y(y.at(tick))
        parts.append(f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{at:.1f}" y2="{at:.1f}"/>')
        parts.append(
            f'<text class="tick" x="{LEFT - 6}" y="{at + 4:.1f}" text-anchor="end">{short(tick)}</text>'
        )
    for tick in x.ticks:
        at = _x(x.at(tick))
        parts.append(f'<line class="grid" x1="{at:.1f}" x2="{at:.1f}" y1="{TOP}" y2="{HEIGHT - BOTTOM}"/>')
        parts.append(
            f'<text class="tick" x="{at:.1f}" y="{HEIGHT - BOTTOM + 16}" '
            f'text-anchor="middle">{short(tick)}</text>'
        )
    middle = (TOP + HEIGHT - BOTTOM) / 2
    parts.append(
        f'<text class="label" transform="translate(14 {middle:.0f}) rotate(-90)" text-anchor="middle">'
        f"{escape(y.label)}</text>"
    )
    parts.append(
        f'<text class="label" x="{(LEFT + WIDTH - RIGHT) / 2:.0f}" y="{HEIGHT - 6}" text-anchor="middle">'
        f"{escape(x.label)}</text>"
    )
    return parts


def _legend(names: Sequence[str]) -> str:
    items = "".join(
        f'<span><i style="background:{COLOURS[i % len(COLOURS)]}"></i>{escape(name)}</span>'
        for i, name in enumerate(names)
    )
    return f'<div class="legend">{items}</div>'


def _svg(parts: Sequence[str], height: int = HEIGHT) -> str:
    return f'<svg viewBox="0 0 {WIDTH} {height}" role="img">{"".join(parts)}</svg>'


def lines(series: Sequence[Series], x: Axis, y: Axis) -> str:
    """A line plot with a dot at every point."""
    x.fit([point[0] for one in series for point in one.points])
    y.fit([point[1] for one in series for point in one.points])
    parts = _frame(x, y)
    for i, one in enumerate(series):
        colour = COLOURS[i % len(COLOURS)]
        placed = [(_x(x.at(a)), _y(y.at(b)), a, b) for a, b in sorted(one.points)]
        path = " ".join(f"{a:.1f},{b:.1f}" for a, b, _, _ in placed)
        parts.append(f'<polyline fill="none" stroke="{colour}" stroke-width="2" points="{path}"/>')
        for a, b, real_x, real_y in placed:
            hint = escape(f"{one.name}: {short(real_x)}, {short(real_y)}")
            parts.append(
                f'<circle cx="{a:.1f}" cy="{b:.1f}" r="3.5" fill="{colour}"><title>{hint}</title></circle>'
            )
    return _svg(parts) + _legend([one.name for one in series])


def bars(groups: Sequence[str], series: Sequence[tuple[str, Sequence[float]]], x: Axis) -> str:
    """Groups of lying bars: series (name, one value for each group; 0: none), each with its value at its end.
    A group's name stands above its bars, so that neither many groups nor long names run into each other.
    """
    x.fit([value for _, values in series for value in values])
    drawn: list[str] = []
    y = float(TOP)
    for g, group in enumerate(groups):
        drawn.append(f'<text class="label" x="{BAR_LEFT}" y="{y + 14:.0f}">{escape(group)}</text>')
        y += BAR_HEAD
        for i, (name, values) in enumerate(series):
            if values[g] > 0:
                drawn.append(_bar(x, y, values[g], COLOURS[i % len(COLOURS)], f"{group}, {name}"))
                y += BAR
        y += BAR_GAP
    height = round(y) + BOTTOM
    parts = []
    for tick in x.ticks:
        at = _bar_x(x.at(tick))
        parts.append(f'<line class="grid" x1="{at:.1f}" x2="{at:.1f}" y1="{TOP}" y2="{height - BOTTOM}"/>')
        text = f'x="{at:.1f}" y="{height - BOTTOM + 16}" text-anchor="middle">{short(tick)}'
        parts.append(f'<text class="tick" {text}</text>')
    text = f'x="{WIDTH / 2:.0f}" y="{height - 6}" text-anchor="middle">{escape(x.label)}'
    parts.append(f'<text class="label" {text}</text>')
    return _svg([*parts, *drawn], height) + _legend([name for name, _ in series])


def _bar(x: Axis, y: float, value: float, colour: str, name: str) -> str:
    end = max(_bar_x(max(0.0, x.at(value))), BAR_LEFT + 1.0)
    return (
        f'<rect x="{BAR_LEFT}" y="{y:.0f}" width="{end - BAR_LEFT:.1f}" height="{BAR - 2}" fill="{colour}">'
        f"<title>{escape(name)}: {short(value)}</title></rect>"
        f'<text class="value" x="{end + 4:.1f}" y="{y + BAR - 3:.0f}">{short(value)}</text>'
    )


def _bar_x(share: float) -> float:
    return BAR_LEFT + share * (WIDTH - BAR_LEFT - BAR_RIGHT)
