"""What `qianwan routes check` is told: sums of one moment, whatever goes on in the cluster."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import pytest

from control.bus.memory import MemoryBus, MemoryHub
from control.coordination.base import NodeInfo
from control.im.api import ApiResponder
from control.im.route_check import RouteCheck
from control.im.route_report import REPORT, STALE_S, ClusterRoutes, report
from control.node_ids import node_key
from control.rendezvous import choose
from control.request_keys import user_key
from control.routing.compact import CompactRoutes, TopicSum
from control.streams.operations import Tally
from im_service.calls import Args
from im_service.errors import Code, ImError
from im_service.ports import Session

GATEWAY = NodeInfo(9, 77, "edge", ("gateway",))
TOPICS = ["u/ann", "u/ben", "r/hall"]


class Im:
    """An im process that hears one gateway; it answers as the real one does."""

    def __init__(self, number: int, ims: Sequence[int]) -> None:
        self.number, self.ims = number, ims
        self.users: list[str] = []
        self.now = 100.0
        self.routes = CompactRoutes()
        self.routes.live(9, 77)
        self.check = RouteCheck(
            self.routes, lambda *peer: len(self.users), lambda peer: None, lambda: self.now
        )

    def hear(self, number: int, sessions: int, topics: Sequence[str] = TOPICS) -> None:
        own = TopicSum(9, 77)
        for topic in topics:
            own.add(topic)
        self.check.told((9, 77), Tally(number, own.count, own.digest, sessions, sessions))

    def sessions_at(self, node: int) -> list[Session]:
        assert node == node_key(9, 77)
        return [Session(node, conn, user, "d") for conn, user in enumerate(self.users)]

    async def call(self, method: str, arguments: Args | msgspec.Raw, user: str = "") -> object:
        if method != REPORT:
            raise ImError(Code.NOT_FOUND)
        return await report(self.check, self.sessions_at, self.number, self.ims)


class World:
    def __init__(self, ims: Sequence[int]) -> None:
        self.hub = MemoryHub()
        self.ims = {number: Im(number, ims) for number in ims}
        self.mute: list[NodeInfo] = []
        for im in self.ims.values():
            im.routes.announce(9, 77, TOPICS)

    async def start(self) -> ClusterRoutes:
        for number, im in self.ims.items():
            bus = MemoryBus(self.hub)
            await bus.start()
            await ApiResponder(bus, number, im).start()
        bus = MemoryBus(self.hub)
        await bus.start()
        return ClusterRoutes(bus, lambda: [GATEWAY], lambda: list(self.ims), lambda: self.mute)


async def test_words_of_one_number_are_compared_though_one_process_has_heard_more() -> None:
    world = World([1, 2])
    look = await world.start()
    world.ims[1].users, world.ims[2].users = [], []
    for im in world.ims.values():
        im.hear(1, 0)
    answer = await look.look()
    assert answer.equal
    world.ims[1].hear(2, 5)  # the other one has not heard it yet
    answer = await look.look()
    assert (answer.equal, answer.gateways[0].open) == (True, 0)
    assert [(pair.im, pair.topics, pair.routes, pair.equal) for pair in answer.pairs] == [
        (1, 3, 3, True),
        (2, 3, 3, True),
    ]


@pytest.mark.parametrize("lost", [0, 1])
async def test_sessions_that_moved_count_once_and_a_lost_one_is_seen(lost: int) -> None:
    world = World([1, 2])
    look = await world.start()
    users = [f"user{number}" for number in range(200)]
    world.ims[1].users = users  # it was alone once, and knows all of them still
    world.ims[2].users = [user for user in users if choose(user_key(user), ["1", "2"]) == "2"]
    moved = len(world.ims[2].users)
    for im in world.ims.values():
        im.hear(3, 200 + lost)
    (count,) = (await look.look()).gateways
    assert 50 < moved < 150
    assert (count.registered, count.moved, count.sessions) == (200 + moved, moved, 200 + lost)
    assert count.equal is (not lost)


async def test_whatever_is_not_heard_is_not_called_equal() -> None:
    world = World([1])
    look = await world.start()
    answer = await look.look()
    assert (answer.equal, answer.pairs[0].equal, answer.gateways[0].equal) == (False, False, None)
    world.ims[1].hear(1, 0)
    assert (await look.look()).equal
    world.ims[1].now += STALE_S + 1
    assert not (await look.look()).equal, "its last word is old"
    world.ims[1].routes.begin(9, 77)
    world.ims[1].hear(2, 0)
    answer = await look.look()
    assert (answer.equal, answer.pairs[0].equal) == (False, None), "it repeats its topics"
    world.ims[2] = Im(2, [1, 2])  # nobody listens there
    answer = await look.look()
    assert (answer.silent, answer.equal) == ([2], False)


async def test_half_a_cluster_is_not_called_equal() -> None:
    """The other half is there by etcd, and not heard on the bus."""
    world = World([1])
    look = await world.start()
    world.ims[1].hear(1, 0)
    assert (await look.look()).equal
    roles = ("control", "im", "gateway")
    world.mute = [NodeInfo(number, 5, role, (role,)) for number, role in enumerate(roles, 3)]
    answer = await look.look()
    assert (answer.silent, answer.equal) == ([4, 5], False)
    world.mute = world.mute[:1]
    assert (await look.look()).equal, "a control process has nothing to compare"
