"""Plots as inline SVG: lines over two axes (each linear or logarithmic) and bars. No script, no external
file.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from html import escape

WIDTH, HEIGHT = 640, 340
LEFT, RIGHT, TOP, BOTTOM = 76, 28, 16, 48
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


def _frame(x: Axis | None, y: Axis) -> list[str]:
    parts = []
    for tick in y.ticks:
        at = _y(y.at(tick))
        parts.append(f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{at:.1f}" y2="{at:.1f}"/>')
        parts.append(
            f'<text class="tick" x="{LEFT - 6}" y="{at + 4:.1f}" text-anchor="end">{short(tick)}</text>'
        )
    for tick in x.ticks if x is not None else ():
        at = _x(x.at(tick)) if x is not None else 0.0
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
    if x is not None:
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


def _svg(parts: Sequence[str]) -> str:
    return f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img">{"".join(parts)}</svg>'


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


def bars(groups: Sequence[str], series: Sequence[tuple[str, Sequence[float]]], y: Axis) -> str:
    """Groups of bars: series (name, one value for each group). A group's name may have two lines."""
    y.fit([value for _, values in series for value in values])
    parts = _frame(None, y)
    room = (WIDTH - LEFT - RIGHT) / max(1, len(groups))
    width = room * 0.8 / max(1, len(series))
    for g, group in enumerate(groups):
        start = LEFT + g * room + room * 0.1
        for i, (name, values) in enumerate(series):
            top = _y(max(0.0, y.at(values[g]))) if values[g] > 0 else _y(0.0)
            hint = escape(f"{group}, {name}: {short(values[g])}")
            parts.append(
                f'<rect x="{start + i * width:.1f}" y="{top:.1f}" width="{width:.1f}" '
                f'height="{HEIGHT - BOTTOM - top:.1f}" fill="{COLOURS[i % len(COLOURS)]}">'
                f"<title>{hint}</title></rect>"
            )
        for row, words in enumerate(group.split("\n")):
            parts.append(
                f'<text class="tick" x="{LEFT + (g + 0.5) * room:.1f}" y="{HEIGHT - BOTTOM + 16 + 14 * row}" '
                f'text-anchor="middle">{escape(words)}</text>'
            )
    return _svg(parts) + _legend([name for name, _ in series])
