"""A process that only stood still is not dead, and one that was taken for dead can go on."""

from __future__ import annotations

from control.bus.memory import MemoryBus
from control.coordination.base import NodeInfo
from control.coordination.beacons import BeaconCoordination
from control.streams.batches import encode
from control.streams.links import StreamLinks
from control.streams.operations import Announce, Up, UpOperation


def node(number: int) -> NodeInfo:
    return NodeInfo(number, 100, f"n{number}", ("gateway",))


async def test_who_stood_still_itself_judges_nobody() -> None:
    now = [0.0]
    gone: list[int] = []
    coordination = BeaconCoordination(MemoryBus(), 1.0, 6.0, clock=lambda: now[0])
    coordination.on(None, lambda info, alive: None if alive else gone.append(info.node_id))
    coordination.announce(node(1))
    coordination._see(node(2))
    coordination.expire()
    now[0] = 30.0  # no turn of the loop for 30 s
    coordination.expire()
    assert gone == []
    for _ in range(7):
        now[0] += 1.0
        coordination.expire()
    assert gone == [2], "silent for longer than the dead time while we listened"


async def test_streams_go_on_after_a_false_death() -> None:
    bus = MemoryBus()
    await bus.start()
    here: list[UpOperation] = []
    lost: list[int] = []
    one, two = StreamLinks(bus, (1, 10)), StreamLinks(bus, (2, 20))
    two.on(Up, lambda _, batch: here.extend(batch.operations), lost.append)
    await bus.subscribe("stream.1", one._on_envelope)
    await bus.subscribe("stream.2", two._on_envelope)
    one.sender(2, 20).push(encode(Up([Announce(["a"])])))
    await bus.flush()
    one.forget(2, 20)
    two.forget(1, 10)
    one.sender(2, 20).push(encode(Up([Announce(["b"])])))
    await bus.flush()
    assert here == [Announce(["a"]), Announce(["b"])]
    assert lost == [1], "a death may have cost something, so it is told"
    await bus.close()
