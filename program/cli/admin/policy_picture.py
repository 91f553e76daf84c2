"""A survival curve in a terminal, and as SVG."""

from __future__ import annotations

from control.policy.survival import Curve, Point

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


def _steps(points: list[Point], key: str) -> list[tuple[float, float]]:
    found, height = [(0.0, 1.0)], 1.0
    for point in points:
        gap = float(point.gap_s)
        found += [(gap, height), (gap, getattr(point, key))]
        height = getattr(point, key)
    return found
