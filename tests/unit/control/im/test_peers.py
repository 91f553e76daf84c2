"""Words between im processes: the latest comes last, and what another one serves is handed to it alone."""

from __future__ import annotations

import asyncio
from typing import Any, cast

from control.coordination.base import Coordination, NodeInfo
from control.im.peers import MOVING_TICKS, BusPeers
from control.rendezvous import choose
from control.streams.batches import BatchReader
from control.streams.links import StreamLinks
from control.streams.operations import Between, Changed
from im_service.chatrooms.moves import Way
from tests.support.sdk_client import until

ROOMS = [f"r/hall{number}" for number in range(30)]


class Links:
    """The streams: what is said to whom, and a way to be heard."""

    def __init__(self) -> None:
        self.said: list[tuple[int, str, str]] = []

    def on(self, kind: object, apply: Any, lost: object) -> None:
        self.apply = apply

    def sender(self, im_id: int, epoch: int) -> Any:
        read = BatchReader([Between]).read

        def push(_: object, batch: bytes) -> None:
            operations = cast(Between, read(batch)).operations
            self.said += [(im_id, word.kind, word.key) for word in operations]

        return type("Sender", (), {"push": push})()


class Cluster:
    def __init__(self) -> None:
        self.tell: Any = None

    def on(self, role: str, callback: object) -> None:
        self.tell = callback

    def hear(self, peer: object, role: str) -> bool:
        return True


class Process:
    """An im process 1, as its peers see it."""

    def __init__(self) -> None:
        self.links, self.cluster = Links(), Cluster()
        self.heard: list[str] = []
        self.handed = 0
        self.peers = BusPeers(
            cast(StreamLinks, self.links),
            cast(Coordination, self.cluster),
            (1, 10),
            self._take,
            moved=self._moved,
        )

    async def _take(self, kind: str, key: str) -> None:
        self.heard.append(key)

    async def _moved(self, way: Way) -> None:
        self.handed += 1
        for topic in ROOMS:
            if (tell := way(topic)) is not None:
                tell("guest", topic)


async def test_of_words_that_wait_the_latest_comes_last() -> None:
    """Online, offline, online again within a turn: watchers end with what is so."""
    process = Process()
    await process.peers.start()
    words = ["bob phone 1", "bob", "bob phone 1"]
    process.links.apply((5, 10), Between([Changed("presence", word) for word in words]))
    await until(lambda: len(process.heard) > 1)
    await asyncio.sleep(0)
    assert process.heard == ["bob", "bob phone 1"]
    await process.peers.stop(0)


async def test_rooms_that_another_process_serves_are_handed_to_it_alone_and_for_a_while() -> None:
    process = Process()
    await process.peers.start()
    await process.peers.tick()
    assert process.handed == 0, "alone"
    for number in (5, 9):
        process.cluster.tell(NodeInfo(number, 20, "", ("im",)), True)
    await process.peers.tick()
    assert process.handed == 0, "gateways hear of it, too"
    for _ in range(2 * MOVING_TICKS):
        await process.peers.tick()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
    assert process.handed == MOVING_TICKS - 1
    await until(lambda: len({key for _, _, key in process.links.said}) > 5)
    said = {(key, im) for im, kind, key in process.links.said if kind == "guest"}
    homes = {(room, int(choose(room, ["1", "5", "9"]) or 0)) for room in ROOMS}
    assert said == {(room, im) for room, im in homes if im != 1}
    assert {im for _, im in said} == {5, 9}
    await process.peers.stop(0)
