"""Ordering gateways for one device.

Draining and full nodes are left out. Nodes of the client's zone come first, then those of the zones that are
near it, in their order, then the others; within one step those of its carrier go before. In a class the
device's rendezvous order decides who is asked, each node by its capacity, and of each two neighbours the one
with clearly more free capacity goes first: stable per device, different between devices, and never the same
"least loaded" node for everyone. A node that is lost or added moves only its own share.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from math import log
from typing import NamedTuple

from control.coordination.base import NodeInfo
from control.coordination.clocks import said
from control.rendezvous import score

# Below this difference in free capacity the device's own order stands: or small load changes would move
# everyone.
CLEARLY_FREER = 0.1
FULL = 0.02


class Ranked(NamedTuple):
    """The nodes in the order to try, and for people why: the class and the place of each, and what was left
    out for which reason.
    """

    order: list[NodeInfo]
    classes: dict[str, str]
    left_out: dict[str, str]


def place(
    nodes: Iterable[NodeInfo],
    user: str,
    device: str,
    zone: str = "",
    isp: str = "",
    count: int = 3,
    near: Sequence[str] = (),
) -> list[NodeInfo]:
    """Up to `count` gateways in the order to try. With nothing but full nodes, those; empty when none is
    there.
    """
    return rank(nodes, f"{user}/{device}", zone, isp, near).order[:count]


def rank(
    nodes: Iterable[NodeInfo],
    key: str,
    zone: str = "",
    isp: str = "",
    near: Sequence[str] = (),
    carriers: Callable[[NodeInfo], Iterable[str]] = lambda node: (node.isp,),
    *,
    drained_too: bool = False,
) -> Ranked:
    """All of them, for the device with this key. `carriers`: those whose clients a node is good for.
    `drained_too`: draining ones where nobody else is there, as they still let in who comes.
    """
    left_out: dict[str, str] = {}
    usable: list[NodeInfo] = []
    full: list[NodeInfo] = []
    drained: list[NodeInfo] = []
    for node in nodes:
        if reason := why_not(node):
            left_out[node.name] = reason
        elif node.draining:
            drained.append(node)
        elif node.free <= FULL:
            full.append(node)
        else:
            usable.append(node)
    if usable:
        left_out |= {node.name: f"full: {node.connections} of {node.capacity}" for node in full}
    last = drained if drained_too and not usable and not full else []
    if not last:
        left_out |= {node.name: "drains" for node in drained}
    steps = {name: step for step, name in enumerate((zone, *near))} if zone else {}
    classes: dict[tuple[int, bool], list[NodeInfo]] = {}
    for node in usable or full or last:
        carrier = bool(isp) and isp in carriers(node)
        classes.setdefault((steps.get(node.zone, len(steps)), not carrier), []).append(node)
    order: list[NodeInfo] = []
    told: dict[str, str] = {}
    for step, foreign in sorted(classes):
        found = classes[step, foreign]
        order += _two_choices(_by_device(key, found))
        what = _said(step, len(steps), zone, near) + ("" if foreign or not isp else f", carrier {isp}")
        told |= {node.name: what for node in found}
    return Ranked(order, told, left_out)


def why_not(node: NodeInfo) -> str:
    """Why nobody at all is sent there; empty where it takes clients, or would if it did not drain."""
    if node.lapsed:
        return "is listed by etcd no more"
    if node.cut_off:
        return "is cut off from most of the cluster"
    if node.clock_s:
        return f"its clock is {said(node.clock_s)}"
    return "" if node.host or node.addresses or node.wss else "has no address"


def node_key(node: NodeInfo) -> str:
    return f"{node.host}:{node.port}" if node.host else node.name


def _by_device(key: str, nodes: list[NodeInfo]) -> list[NodeInfo]:
    """Rendezvous by weight: a node gets a share of the devices like its share of the capacity. Where one
    does not say its capacity, all count alike.
    """
    weighed = all(node.capacity > 0 for node in nodes)

    def drawn(node: NodeInfo) -> float:
        luck = -log(max(score(key, node_key(node)), 2**-64))
        return luck / (node.capacity if weighed else 1)

    return sorted(nodes, key=drawn)


def _two_choices(nodes: list[NodeInfo]) -> list[NodeInfo]:
    """Compare the device's first and second candidate; the loser is next in line with the third, and so
    on.
    """
    ordered: list[NodeInfo] = []
    held: NodeInfo | None = None
    for node in nodes:
        if held is None:
            held = node
        elif node.free > held.free + CLEARLY_FREER:
            ordered.append(node)
        else:
            ordered.append(held)
            held = node
    return ordered if held is None else [*ordered, held]


def _said(step: int, others: int, zone: str, near: Sequence[str]) -> str:
    if not zone:
        return "any zone"
    if step == 0:
        return f"zone {zone}"
    return f"zone {near[step - 1]}, near {zone}" if step < others else "another zone"
