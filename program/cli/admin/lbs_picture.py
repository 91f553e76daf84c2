"""The spread of devices over nodes as a page by itself: a picture and its table, no script, nothing from
elsewhere.
"""

from __future__ import annotations

from html import escape

from control.lbs.simulate import Simulation, Spread

BAR, GAP, LEFT, WIDTH = 11, 14, 170, 560
KINDS = (
    ("now", "now", "#2563eb"),
    ("without", "one lost", "#d97706"),
    ("with_added", "one added", "#059669"),
)
STYLE = """
:root { color-scheme: light dark; }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
table { border-collapse: collapse; }
td, th { padding: .2rem .9rem .2rem 0; text-align: right; }
td:first-child, th:first-child { text-align: left; }
svg text { fill: currentColor; font: 12px system-ui, sans-serif; }
i { display: inline-block; width: .8em; height: .8em; }
span { margin-right: 1.2rem; }
"""


def picture(found: Simulation) -> str:
    """HTML."""
    colours = "".join(f'<span><i style="background:{c}"></i> {escape(text)}</span>' for _, text, c in KINDS)
    return f"""<!doctype html>
<html lang="en"><meta charset="utf-8"><title>Where {found.devices} devices are sent</title>
<style>{STYLE}</style>
<h1>Where {found.devices} devices are sent</h1>
<p>{escape(found.lost)} is lost, or {escape(found.added)} is added.</p>
<p>{colours}<span>┆ its share of the capacity</span></p>
{_bars(found.nodes)}
<p>Lost: {_percent(found.moved_by_loss)} of the devices move,
{_percent(found.others_moved_by_loss)} that need not. Added: {_percent(found.moved_by_addition)} move,
{_percent(found.others_moved_by_addition)} that need not.</p>
{_table(found.nodes)}
</html>
"""


def _bars(nodes: list[Spread]) -> str:
    shares = [getattr(node, kind) for node in nodes for kind, _, _ in KINDS] + [one.fair for one in nodes]
    scale = WIDTH / max(*shares, 0.01)
    block = BAR * len(KINDS) + GAP
    parts = []
    for row, node in enumerate(nodes):
        top = row * block
        parts.append(f'<text x="{LEFT - 8}" y="{top + BAR * 2}" text-anchor="end">{escape(node.node)}</text>')
        for at, (kind, text, colour) in enumerate(KINDS):
            share = getattr(node, kind)
            y = top + at * BAR
            parts.append(
                f'<rect x="{LEFT}" y="{y}" width="{share * scale:.1f}" height="{BAR - 2}" fill="{colour}">'
                f"<title>{escape(node.node)}, {text}: {_percent(share)}</title></rect>"
                f'<text x="{LEFT + share * scale + 5:.1f}" y="{y + BAR - 2}">{_percent(share)}</text>'
            )
        if node.fair:
            x = LEFT + node.fair * scale
            parts.append(
                f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{top - 3}" y2="{top + BAR * len(KINDS)}"'
                ' stroke="currentColor" stroke-dasharray="3 2"/>'
            )
    height = block * len(nodes)
    label = "Shares of the devices by node"
    return (
        f'<svg role="img" aria-label="{label}" viewBox="0 -6 {LEFT + WIDTH + 60} {height + 6}" width="100%">'
        + "".join(parts)
        + "</svg>"
    )


def _table(nodes: list[Spread]) -> str:
    heads = ("node", "fair", "now", "one lost", "one added", "connections", "when all have come", "capacity")
    rows = "".join(
        "<tr>"
        f"<td>{escape(one.node)}</td>"
        + "".join(f"<td>{_percent(share)}</td>" for share in (one.fair, one.now, one.without, one.with_added))
        + "".join(f"<td>{number}</td>" for number in (one.connections, one.filled, one.capacity))
        + "</tr>"
        for one in nodes
    )
    return f"<table><tr>{''.join(f'<th>{head}</th>' for head in heads)}</tr>{rows}</table>"


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"
