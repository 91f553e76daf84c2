"""Clients meet one root key: who has another is refused, or, where nobody could refuse it, left out."""

from __future__ import annotations

import pytest

from control.bus.memory import MemoryBus, MemoryHub
from control.coordination.base import NodeInfo
from control.coordination.beacons import BeaconCoordination
from control.coordination.same_root import SameRoot, of_root
from control.errors import StartError

OURS, THEIRS = "qwroot1.ours", "qwroot1.theirs"


async def process(hub: MemoryHub, root: str, *known: NodeInfo) -> SameRoot:
    """Not started; it has heard of the nodes `known`."""
    bus = MemoryBus(hub)
    await bus.start()
    coordination = BeaconCoordination(bus, 1.0, 5.0)
    for node in known:
        coordination._see(node)
    return SameRoot(bus, coordination, "me", lambda: root)


def node(number: int, role: str, root: str) -> NodeInfo:
    return NodeInfo(number, 1, f"node-{number}", (role,), "127.0.0.1", 7801, root=root)


async def test_whoever_starts_is_compared_with_who_is_there() -> None:
    hub = MemoryHub()
    await (await process(hub, OURS)).start()
    await (await process(hub, OURS)).start()
    with pytest.raises(StartError, match=r"^the root key is not that of this cluster [^\n]*$"):
        await (await process(hub, THEIRS)).start()


async def test_a_gateway_that_nobody_refused_is_handed_out_to_nobody() -> None:
    nodes = [node(1, "gateway", OURS), node(2, "gateway", THEIRS), node(3, "gateway", "")]
    assert [each.node_id for each in of_root(nodes, OURS)] == [1, 3]


async def test_a_gateway_is_unready_where_no_control_process_has_its_root() -> None:
    alone = await process(MemoryHub(), OURS, node(1, "control", THEIRS))
    assert "node-1 hands out another root key" in str(alone.checks()["root"]())
    among = await process(MemoryHub(), OURS, node(1, "control", THEIRS), node(2, "control", OURS))
    assert among.checks()["root"]() is None
