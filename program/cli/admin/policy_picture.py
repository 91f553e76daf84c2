"""A survival curve in a terminal, as SVG, and as PNG."""

from __future__ import annotations

import math

from control.policy.survival import Curve, Point
from program.cli.admin.png import Canvas, width_of

WIDTH = 60
STYLE = (
    "svg{background:#fff;font:12px system-ui,sans-serif}.grid{stroke:#e5e7eb}"
    ".tick,.label{fill:#374151}polyline{stroke-linejoin:round}"
)


def drawn(curve: Curve) -> list[str]:
    """A line a gap: a bar of the share that lives through it."""
    head = f"{curve.deaths} deaths, {curve.censored} connections that lived through their longest gap"
    if not curve.points:
        return [f"{head}: no curve yet"]
    lines = [head, f"{'gap s':>6} {'at risk':>8} {'alive':>8}"]
    for point in curve.points:
        bar = "█" * round(point.alive * WIDTH)
        span = f"{point.low:.1%} to {point.high:.1%}" if point.died else ""
        lines.append(
            f"{point.gap_s:>6} {point.at_risk:>8} {point.alive:>8.2%} {bar:<{WIDTH}} {span}".rstrip()
        )
    return lines


def picture(curve: Curve) -> str:
    """SVG: the estimate as steps, and its bounds of 95 %."""
    from benchmarks.report.plots import Axis, Series, lines

    points = curve.points
    series = [
        Series("alive", _steps(points, "alive")),
        Series("low, 95 %", _steps(points, "low")),
        Series("high, 95 %", _steps(points, "high")),
    ]
    drawn = lines(series, Axis("silence, s"), Axis("share of connections alive"))
    svg = drawn[drawn.index("<svg") : drawn.index("</svg>") + len("</svg>")]
    return svg.replace("<svg", '<svg xmlns="http://www.w3.org/2000/svg"', 1).replace(
        ">", f"><style>{STYLE}</style>", 1
    )


GROUND, GRID, INK, ALIVE, BOUND = range(5)
PALETTE = ((255, 255, 255), (229, 231, 235), (55, 65, 81), (29, 78, 216), (147, 171, 236))
PNG_WIDTH, PNG_HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 900, 540, 90, 30, 50, 70


def png(curve: Curve) -> bytes:
    """The same as PNG, for tickets and chats that show no SVG."""
    canvas = Canvas(PNG_WIDTH, PNG_HEIGHT, PALETTE)
    inner_x, inner_y = PNG_WIDTH - LEFT - RIGHT, PNG_HEIGHT - TOP - BOTTOM
    last = max((point.gap_s for point in curve.points), default=60)
    low = min((point.low for point in curve.points), default=0.0)
    floor = max(0.0, math.floor(low * 10 - 1) / 10)

    def at(gap_s: float, share: float) -> tuple[int, int]:
        down = (1 - share) / (1 - floor)
        return LEFT + round(gap_s / last * inner_x), TOP + round(down * inner_y)

    for tick in range(6):
        share, gap = floor + (1 - floor) * tick / 5, last * tick / 5
        y, x = at(0, share)[1], at(gap, 1)[0]
        canvas.block(LEFT, y, inner_x, 1, GRID)
        canvas.block(x, TOP, 1, inner_y, GRID)
        words = f"{share:.0%}"
        canvas.text(LEFT - 10 - width_of(words), y - 7, words, INK)
        words = f"{gap:.0f}"
        canvas.text(x - width_of(words) // 2, TOP + inner_y + 12, words, INK)
    for key, thick, colour in (("low", 1, BOUND), ("high", 1, BOUND), ("alive", 3, ALIVE)):
        steps = _steps(curve.points, key)
        canvas.steps([at(*step) for step in [*steps, (last, steps[-1][1])]], thick, colour)
    where = f"{curve.net} {curve.carrier}".strip() or "all networks"
    title = f"{where}: connections alive, {curve.deaths} deaths"
    canvas.text(LEFT, 16, title, INK)
    words = "silence, s"
    canvas.text(LEFT + (inner_x - width_of(words)) // 2, PNG_HEIGHT - 26, words, INK)
    return canvas.png()


def _steps(points: list[Point], key: str) -> list[tuple[float, float]]:
    found, height = [(0.0, 1.0)], 1.0
    for point in points:
        gap = float(point.gap_s)
        found += [(gap, height), (gap, getattr(point, key))]
        height = getattr(point, key)
    return found
