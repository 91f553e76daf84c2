"""Ordering gateways for one device.

Draining and full nodes are left out. Nodes of the client's zone and carrier come first, then of its zone,
then of its carrier, then the others. Within a class the device's rendezvous order decides who is asked, and
of each two neighbours the one with clearly more free capacity goes first: stable per device, different
between devices, and never the same "least loaded" node for everyone.
"""

from __future__ import annotations

from collections.abc import Iterable

from control.coordination.base import NodeInfo
from control.rendezvous import score

# Below this difference in free capacity the device's own order stands: or small load changes would move
# everyone.
CLEARLY_FREER = 0.1
FULL = 0.02


def place(
    nodes: Iterable[NodeInfo], user: str, device: str, zone: str = "", isp: str = "", count: int = 3
) -> list[NodeInfo]:
    """Up to `count` gateways in the order to try. With nothing but full nodes, those; empty when none is
    there.
    """
    open_nodes = [node for node in nodes if not node.draining and node.host]
    usable = [node for node in open_nodes if node.free > FULL] or open_nodes
    key = f"{user}/{device}"
    classes: dict[int, list[NodeInfo]] = {}
    for node in usable:
        same_zone, same_isp = bool(zone) and node.zone == zone, bool(isp) and node.isp == isp
        classes.setdefault(-(2 * same_zone + same_isp), []).append(node)
    answer: list[NodeInfo] = []
    for rank in sorted(classes):
        answer += _two_choices(sorted(classes[rank], key=lambda node: -score(key, node_key(node))))
    return answer[:count]


def node_key(node: NodeInfo) -> str:
    return f"{node.host}:{node.port}"


def _two_choices(nodes: list[NodeInfo]) -> list[NodeInfo]:
    """Compare the device's first and second candidate; the loser is next in line with the third, and so
    on.
    """
    ordered: list[NodeInfo] = []
    rest = list(nodes)
    while len(rest) > 1:
        first, second = rest[0], rest[1]
        winner = second if second.free > first.free + CLEARLY_FREER else first
        ordered.append(winner)
        rest.remove(winner)
    return ordered + rest
