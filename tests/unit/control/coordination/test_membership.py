"""Who hears of the nodes of the cluster: by role, and also of those that were there before."""

from __future__ import annotations

from control.bus.memory import MemoryBus
from control.coordination.base import NodeInfo
from control.coordination.beacons import BeaconCoordination

Change = tuple[int, int, bool]


def node(number: int, role: str, epoch: int = 100) -> NodeInfo:
    return NodeInfo(number, epoch, f"n{number}", (role,))


async def test_changes_go_to_those_who_asked_for_the_role() -> None:
    coordination = BeaconCoordination(MemoryBus(), 1.0, 6.0)
    heard: dict[str | None, list[Change]] = {"gateway": [], "im": [], None: []}
    coordination._see(node(1, "gateway"))
    for role, changes in heard.items():
        coordination.on(role, lambda info, alive, to=changes: to.append((info.node_id, info.epoch, alive)))
    coordination._see(node(2, "im"))
    coordination._see(node(1, "gateway"))  # a beacon, nothing new
    coordination._see(node(1, "gateway", 101))
    gateway = [(1, 100, True), (1, 100, False), (1, 101, True)]
    assert heard["gateway"] == gateway, "also the one that was there before"
    assert heard["im"] == [(2, 100, True)]
    assert heard[None] == [gateway[0], (2, 100, True), *gateway[1:]]


async def test_one_that_fails_keeps_the_change_from_no_other() -> None:
    coordination = BeaconCoordination(MemoryBus(), 1.0, 6.0)
    heard: list[int] = []

    def fails(info: NodeInfo, alive: bool) -> None:
        raise ValueError("no")

    coordination.on(None, fails)
    coordination.on(None, lambda info, alive: heard.append(info.node_id))
    coordination._see(node(1, "gateway"))
    assert heard == [1]
