"""The ways to the gateways: order kept when a mailbox is full, dead epochs reached by nothing, losses
told.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

from control.bus.memory import MemoryBus, MemoryHub
from control.coordination.base import NodeInfo
from control.downlink.bus import BusDownlink
from control.downlink.local import LocalDownlink
from control.node_ids import node_key
from control.routing.compact import CompactRoutes
from control.streams.links import StreamLinks
from control.streams.operations import Down, DownOperation, Join, Publish, Replies
from frame.constants import FrameType, RequestCode
from im_service.ports import Session

ALICE = Session(0, 1, "alice", "d")


class Full(Exception):
    pass


async def until(condition: Callable[[], bool]) -> None:
    """Poll a condition for five seconds at most."""
    for _ in range(5000):
        if condition():
            return
        await asyncio.sleep(0.001)
    raise AssertionError("the condition did not come true")


class NarrowCore:
    """Takes `room` commands, then says its mailbox is full: the real one does so after a second of
    stillness.
    """

    def __init__(self, room: int) -> None:
        self.room = room
        self.taken: list[tuple[Any, ...]] = []

    def publish_many(self, items: Sequence[tuple[Any, ...]]) -> tuple[int, int]:
        given = self._many("publish", items)
        return given, 0 if given == len(items) else 1

    def reply_many(self, items: Sequence[tuple[Any, ...]]) -> int:
        return self._many("reply", items)

    def _many(self, name: str, items: Sequence[tuple[Any, ...]]) -> int:
        given = min(len(items), self.room - len(self.taken))
        self.taken += [(name, *item) for item in items[:given]]
        return given

    def __getattr__(self, name: str) -> Any:
        def command(*arguments: Any) -> None:
            if len(self.taken) >= self.room:
                raise Full
            self.taken.append((name, *arguments))

        return command


async def test_a_full_mailbox_delays_commands_in_order_and_repeats_none() -> None:
    core = NarrowCore(3)
    lost: list[int] = []
    downlink = LocalDownlink(core, Full, lambda: lost.append(1))
    downlink.publish_many(0, [(f"t/{n}", 6, b"", 0, 0) for n in range(5)])
    downlink.reply(ALICE, 9, 1, 0, b"")
    assert len(core.taken) == 3
    assert downlink.waiting == 3
    core.room = 100
    await until(lambda: downlink.waiting == 0)
    assert [taken[1] for taken in core.taken] == ["t/0", "t/1", "t/2", "t/3", "t/4", 1]
    assert lost == []
    assert downlink.dropped == 0


async def test_beyond_the_bound_commands_are_dropped_counted_and_told_once() -> None:
    lost: list[int] = []
    core = NarrowCore(0)
    downlink = LocalDownlink(core, Full, lambda: lost.append(1), max_waiting=2)
    for _ in range(5):
        downlink.join(ALICE, "r/x")
    assert (downlink.waiting, downlink.dropped, lost) == (2, 3, [])
    core.room = 100
    await until(lambda: downlink.waiting == 0)
    assert lost == [1]


class Cluster:
    """What is live, as the tests say."""

    def __init__(self, **epochs: int) -> None:
        self.epochs = {int(name[1:]): epoch for name, epoch in epochs.items()}

    def nodes(self, role: str | None = None) -> list[NodeInfo]:
        return [NodeInfo(number, epoch, "", ("gateway",)) for number, epoch in self.epochs.items()]

    def epoch_of(self, node_id: int) -> int | None:
        return self.epochs.get(node_id)


async def make(cluster: Cluster) -> tuple[BusDownlink, CompactRoutes, dict[int, list[DownOperation]]]:
    """A downlink whose streams end in lists of operations per gateway."""
    hub = MemoryHub()
    bus = MemoryBus(hub)
    await bus.start()
    got: dict[int, list[DownOperation]] = {}
    for number, epoch in cluster.epochs.items():
        end = StreamLinks(bus, (number, epoch))
        end.on(Down, lambda _, batch, n=number: got.setdefault(n, []).extend(batch.operations), print)
        await bus.subscribe(f"stream.{number}", end._on_envelope)
    routes = CompactRoutes()
    for number, epoch in cluster.epochs.items():
        routes.live(number, epoch)
    links = StreamLinks(bus, (1, 1))
    return BusDownlink(links, routes, cluster), routes, got


async def settled() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_one_batch_per_interested_gateway_and_the_exclusion_only_on_its_own() -> None:
    downlink, routes, got = await make(Cluster(n2=10, n3=10, n4=10))
    for gateway in (2, 3):
        routes.announce(gateway, 10, ["r/x"])
    downlink.publish("r/x", 7, b"hi", 1, Session(node_key(2, 10), 77, "alice", "d"))
    await settled()
    assert got == {2: [Publish(("r/x", 7, b"hi", 1, 77))], 3: [Publish(("r/x", 7, b"hi", 1, 0))]}


async def test_a_dead_epoch_of_a_gateway_is_reached_by_nothing() -> None:
    cluster = Cluster(n2=11)
    downlink, routes, got = await make(cluster)
    routes.announce(2, 10, ["u/alice", "r/x"])
    routes.expire(2, 10)
    old = Session(node_key(2, 10), 5, "alice", "d")
    downlink.reply(old, 9, 1, 0, b"")
    downlink.join(old, "r/x")
    downlink.publish("u/alice", 6, b"secret")
    downlink.join_user("alice", "g/1")
    await settled()
    assert got == {}
    assert downlink.stale == 2, "the reply and the join; nobody else is known to be there"
    assert [downlink.owed(2), downlink.owed(2)] == [True, False], "whoever comes as it tells all, once"


async def test_what_waits_for_one_life_of_a_gateway_does_not_reach_the_next() -> None:
    cluster = Cluster(n2=10)
    downlink, _, got = await make(cluster)
    downlink.reply(Session(node_key(2, 10), 5, "alice", "d"), 9, 1, 0, b"of another connection")
    cluster.epochs[2] = 11
    downlink.gone(2)
    await settled()
    assert (got, downlink.stale, downlink.owed(2)) == ({}, 1, True)


async def test_a_join_routes_the_next_publish_before_the_gateway_has_announced() -> None:
    downlink, _, got = await make(Cluster(n2=10))
    downlink.join(Session(node_key(2, 10), 5, "alice", "d"), "r/x")
    downlink.publish("r/x", 7, b"hi")
    await settled()
    assert got[2] == [Join(5, "r/x"), Publish(("r/x", 7, b"hi", 0, 0))]


async def test_an_answer_too_large_for_the_bus_is_an_error_to_who_asked() -> None:
    downlink, _, got = await make(Cluster(n2=10))
    one, two = (Session(node_key(2, 10), conn, "alice", "d") for conn in (5, 6))
    downlink.reply(one, FrameType.RETURN, 1, 0, bytes(2 << 20))
    downlink.reply(two, FrameType.RETURN, 2, 0, b"small")
    await until(lambda: sum(len(each.replies) for each in got.get(2, []) if isinstance(each, Replies)) == 2)
    answers = {reply[0]: reply[3] for each in got[2] if isinstance(each, Replies) for reply in each.replies}
    assert answers == {5: RequestCode.INTERNAL, 6: RequestCode.OK}


class NotRunning(Exception):
    pass


class NoCore:
    """One that was not started yet, or has been stopped."""

    def __getattr__(self, name: str) -> Any:
        def command(*arguments: Any) -> None:
            raise NotRunning

        return command


async def test_what_nobody_is_there_to_hear_is_no_error() -> None:
    """A signal under load: the last answers find a core that has stopped, and the rest of a batch goes on."""
    lost: list[int] = []
    downlink = LocalDownlink(NoCore(), Full, lambda: lost.append(1), not_running=(NotRunning,))
    downlink.reply_many(0, [(1, 9, 1, 0, b"")])
    downlink.publish_many(0, [("u/alice", 6, b"", 0, 0)])
    downlink.reply(ALICE, 9, 1, 0, b"")
    downlink.publish("u/alice", 6, b"")
    downlink.join(ALICE, "g/x")
    downlink.leave_user("alice", "g/x")
    downlink.kick("alice", None, 1, 4000, "")
    assert (downlink.waiting, downlink.dropped, lost) == (0, 0, [])


async def test_what_waits_for_a_core_that_stops_is_let_go() -> None:
    core = NarrowCore(0)
    downlink = LocalDownlink(core, Full, lambda: None, not_running=(NotRunning,))
    downlink.join(ALICE, "g/x")
    assert downlink.waiting == 1

    def stopped(*arguments: Any) -> None:
        raise NotRunning

    downlink._waiting[0] = stopped, downlink._waiting[0][1]
    await until(lambda: downlink.waiting == 0)
    assert downlink.dropped == 0
