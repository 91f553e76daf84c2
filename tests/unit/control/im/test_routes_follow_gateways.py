"""What an im process routes to a gateway is what the gateway has, whatever changes while it is repeated."""

from __future__ import annotations

import asyncio
import random
import time
from typing import cast

import pytest

from control.bus.memory import MemoryBus, MemoryHub
from control.coordination.base import NodeInfo
from control.gateway.resync import Resync
from control.gateway.topics import BEGAN, ENDED, HELD, Topics
from control.gateway.upstream import BusUpstream
from control.im.route_check import RouteCheck
from control.im.up_batches import SessionService, UpBatches
from control.node_ids import node_key
from control.routing.compact import CompactRoutes
from control.streams.batches import MAX_BATCH_BYTES
from control.streams.links import StreamLinks
from control.streams.operations import ResyncBegin, ResyncEnd, Up
from im_service.ports import Downlink

GATEWAY, IM = (9, 77), (1, 5)


class Core:
    """Loops with topics; asked to repeat them, it does so a few at a time."""

    def __init__(self, loops: int, rng: random.Random) -> None:
        self.rng = rng
        self.held: list[set[str]] = [set() for _ in range(loops)]
        self.left: dict[int, list[str]] = {}

    def tell(self, loop: int, sessions: bool) -> None:
        self.left[loop] = sorted(self.held[loop])

    def slice(self, upstream: BusUpstream, most: int) -> None:
        for loop, names in list(self.left.items()):
            for name in names[:most]:
                if name in self.held[loop]:
                    upstream.on_topic(name, loop, HELD)
            self.left[loop] = names[most:]
            if not self.left[loop]:
                del self.left[loop]
                upstream.on_topic("", loop, ENDED)

    def change(self, upstream: BusUpstream, name: str) -> None:
        loop = self.rng.randrange(len(self.held))
        up = name not in self.held[loop]
        (self.held[loop].add if up else self.held[loop].discard)(name)
        upstream.on_topic(name, loop, BEGAN if up else ENDED)

    def all(self) -> set[str]:
        return set.union(*self.held)


class Pair:
    """A gateway and an im process on one bus."""

    def __init__(self, loops: int, seed: int) -> None:
        print(f"seed {seed}")
        self.core = Core(loops, random.Random(seed))
        self.routes = CompactRoutes()
        self.sizes: list[int] = []
        self.asked: list[int] = []
        self.longest_s = 0.0

    async def start(self) -> BusUpstream:
        hub = MemoryHub()
        ends = []
        for own in (GATEWAY, IM):
            bus = MemoryBus(hub)
            await bus.start()
            ends.append(StreamLinks(bus, own))
            await bus.subscribe(f"stream.{own[0]}", ends[-1]._on_envelope)
        self.check = RouteCheck(self.routes, lambda *peer: 0, self.asked.append, time.monotonic)
        service = cast(SessionService, None)
        batches = UpBatches(service, self.routes, self.check, lambda gateway: None)
        batches.gateway_came(NodeInfo(*GATEWAY, "", ("gateway",)))

        def apply(peer: tuple[int, int], batch: Up) -> None:
            begun = time.thread_time()
            words = [each for each in batch.operations if not isinstance(each, ResyncBegin | ResyncEnd)]
            batches.apply(peer, Up(words))
            self.longest_s = max(self.longest_s, time.thread_time() - begun)

        ends[1].on(Up, apply, self.asked.append)
        ear = MemoryBus(hub)
        await ear.start()
        await ear.subscribe(f"stream.{IM[0]}", lambda data: self.sizes.append(len(data)))
        topics = Topics(GATEWAY, len(self.core.held))
        resync = Resync(topics, len(self.core.held), self.core.tell, RuntimeError)
        self.upstream = BusUpstream(node_key(*GATEWAY), ends[0], cast(Downlink, None), topics, resync)
        return self.upstream

    def agree(self) -> bool:
        """Equal as sets, and as the sums that both ends keep."""
        own = self.upstream.sum_of_topics
        everywhere = self.core.all()
        assert all(self.routes.gateways(name) == (GATEWAY[0],) for name in everywhere)
        assert self.routes.size() == len(everywhere)
        return self.routes.held(*GATEWAY) == own and own[0] == len(everywhere)


async def settled() -> None:
    for _ in range(8):
        await asyncio.sleep(0)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("loops", [1, 3])
async def test_topics_change_while_all_are_repeated(loops: int, seed: int) -> None:
    pair = Pair(loops, seed)
    upstream, core, rng = await pair.start(), pair.core, pair.core.rng
    names = [f"u/{number}" for number in range(300)]
    for name in rng.sample(names, 200):
        core.change(upstream, name)
    upstream.im_came(NodeInfo(*IM, "", ("im",)))
    for round_ in range(60):
        for _ in range(rng.randrange(30)):
            core.change(upstream, rng.choice(names))
        core.slice(upstream, rng.randrange(1, 40))
        if rng.random() < 0.1:
            upstream.resync(IM[0])  # asked again, in the middle of it
        if rng.random() < 0.3:
            await settled()
        if round_ % 7 == 0:
            upstream.tell_all(lambda: 0)
    while core.left:
        core.slice(upstream, 50)
    upstream.tell_all(lambda: 0)
    await settled()
    assert pair.agree()
    assert (pair.check.differing(), pair.check.unequal, pair.asked) == (0, 0, [])
    assert pair.check.compared > 0


async def test_many_topics_are_repeated_in_batches_of_a_bounded_size() -> None:
    """Neither one message nor one turn is as long as the list."""
    pair = Pair(1, 0)
    upstream, core = await pair.start(), pair.core
    core.held[0] = {f"u/user-{number:08}" for number in range(50_000)}
    for name in core.held[0]:
        upstream.on_topic(name, 0, BEGAN)
    upstream.im_came(NodeInfo(*IM, "", ("im",)))
    while core.left:
        core.slice(upstream, 1024)
        await asyncio.sleep(0)
    await settled()
    assert pair.agree()
    assert len(pair.sizes) > 10
    assert max(pair.sizes) < MAX_BATCH_BYTES / 2
    print(f"longest turn {pair.longest_s * 1000:.1f} ms")
    assert pair.longest_s < 0.05


async def test_a_route_broken_by_hand_is_told_and_healed_by_the_gateway() -> None:
    pair = Pair(2, 1)
    upstream, core = await pair.start(), pair.core
    for number in range(100):
        core.change(upstream, f"r/{number}")
    upstream.im_came(NodeInfo(*IM, "", ("im",)))
    core.slice(upstream, 1000)
    await settled()
    held = sorted(core.all())
    pair.routes.withdraw(*GATEWAY, held[:1])
    pair.routes.announce(*GATEWAY, ["r/ghost"])
    upstream.tell_all(lambda: 0)
    await settled()
    assert (pair.check.differing(), pair.asked) == (1, [GATEWAY[0]])
    upstream.resync(IM[0])  # what it is asked for
    core.slice(upstream, 1000)
    await settled()
    assert pair.agree()
    assert (pair.check.differing(), pair.routes.gateways("r/ghost")) == (0, ())
