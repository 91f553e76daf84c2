"""How devices spread over nodes, and who moves when a node is lost or added: by the same rules as answers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence

from msgspec import Struct
from msgspec.structs import replace

from control.coordination.base import NodeInfo
from control.lbs.addresses import Wanted, carriers_of, has_addresses
from control.lbs.placement import rank

DEVICES_MAX = 1_000_000


class LbsNode(Struct, frozen=True, forbid_unknown_fields=True):
    """A node as LBS sees it; what a file of nodes holds."""

    node: str
    host: str = ""
    port: int = 7801
    zone: str = ""
    isp: str = ""
    capacity: int = 0
    connections: int = 0
    draining: bool = False
    wss: str = ""
    addresses: tuple[str, ...] = ()


class LbsNodes(Struct, frozen=True, forbid_unknown_fields=True):
    """`near`: zones near a zone, the best first."""

    nodes: list[LbsNode]
    near: dict[str, list[str]] = {}


class Spread(Struct, frozen=True):
    """Shares of the devices, 0.0 to 1.0. `fair`: of the capacity of those that take connections; `now`, and
    without `lost` and with `added`. `filled`: connections when all devices have come, one after the other.
    """

    node: str
    fair: float
    now: float
    without: float
    with_added: float
    connections: int
    filled: int
    capacity: int


class Simulation(Struct, frozen=True):
    """`moved_*`: shares of all devices whose first gateway is another one then; `others_moved_*`: of those
    for which neither the lost nor the added node was meant.
    """

    devices: int
    lost: str
    added: str
    nodes: list[Spread]
    moved_by_loss: float
    others_moved_by_loss: float
    moved_by_addition: float
    others_moved_by_addition: float


def told(nodes: Sequence[NodeInfo]) -> list[LbsNode]:
    return [
        LbsNode(
            one.name, one.host, one.port, one.zone, one.isp, one.capacity, one.connections, one.draining,
            one.wss, one.addresses,
        )
        for one in nodes
    ]  # fmt: skip


def known(nodes: Sequence[LbsNode]) -> list[NodeInfo]:
    """A node without an address is called by its name."""
    return [
        NodeInfo(
            number, 0, one.node, ("gateway",), one.host or ("" if one.addresses else one.node), one.port,
            one.zone, one.isp, one.capacity, one.connections, one.draining, wss=one.wss,
            addresses=one.addresses,
        )
        for number, one in enumerate(nodes, 1)
    ]  # fmt: skip


def simulate(
    nodes: Sequence[NodeInfo],
    devices: int,
    *,
    zone: str = "",
    isp: str = "",
    near: Mapping[str, Sequence[str]] = {},
    transport: Wanted = "tcp",
    lose: str = "",
) -> Simulation:
    """`lose`: the node that is lost, by default the one that most devices are sent to. The one that is added
    is like it, and empty. Raises ValueError when nobody takes connections, or for a node that is not there.
    """
    usable = [node for node in nodes if has_addresses(node, transport)]
    if lose and lose not in (node.name for node in usable):
        raise ValueError(f"no node {lose}")
    neighbours = near.get(zone, ())

    def first(known: Sequence[NodeInfo], device: int) -> str:
        order = rank(known, f"/device-{device}", zone, isp, neighbours, carriers_of).order
        return order[0].name if order else ""

    def all_first(known: Sequence[NodeInfo]) -> list[str]:
        return [first(known, device) for device in range(devices)]

    now = all_first(usable)
    if "" in now:
        raise ValueError("no gateway takes connections")
    lost = lose or Counter(now).most_common(1)[0][0]
    gone = [node for node in usable if node.name != lost]
    model = next(node for node in usable if node.name == lost)
    new = replace(model, name=f"{lost}+", host=f"{model.host or lost}+", connections=0, wss="", addresses=())
    more = [*usable, new]
    without, with_added, filled = all_first(gone), all_first(more), _filled(usable, devices, first)
    open_capacity = sum(node.capacity for node in usable if not node.draining)
    count_now, count_without, count_added = Counter(now), Counter(without), Counter(with_added)
    return Simulation(
        devices,
        lost,
        new.name,
        [
            Spread(
                node.name,
                _fair(node, open_capacity) if node is not new else 0.0,
                count_now[node.name] / devices,
                count_without[node.name] / devices,
                count_added[node.name] / devices,
                node.connections,
                filled.get(node.name, node.connections),
                node.capacity,
            )
            for node in more
        ],
        _moved(now, without, ()),
        _moved(now, without, (lost,)),
        _moved(now, with_added, ()),
        _moved(now, with_added, (new.name,)),
    )


def _fair(node: NodeInfo, open_capacity: int) -> float:
    return node.capacity / open_capacity if open_capacity and not node.draining else 0.0


def _moved(before: list[str], after: list[str], but: tuple[str, ...]) -> float:
    pairs = zip(before, after, strict=True)
    return sum(a != b and a not in but and b not in but for a, b in pairs) / len(before)


def _filled(
    nodes: Sequence[NodeInfo], devices: int, first: Callable[[Sequence[NodeInfo], int], str]
) -> dict[str, int]:
    """Connections when the devices have come one after the other, told in steps as beacons would."""
    held = {node.name: node for node in nodes}
    step = max(1, devices // 100)
    for start in range(0, devices, step):
        known = list(held.values())
        came = Counter(first(known, device) for device in range(start, min(devices, start + step)))
        for name, count in came.items():
            if name:
                held[name] = replace(held[name], connections=held[name].connections + count)
    return {name: node.connections for name, node in held.items()}
