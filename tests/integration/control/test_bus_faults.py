"""What a bus that stutters costs, over a real NATS server: nothing that im processes say stays unheard."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from control.bus.nats import NatsBus
from control.coordination.base import NodeInfo
from control.coordination.beacons import BeaconCoordination
from control.im.peers import ALL, BusPeers
from control.settings.values import SecretUrl
from control.streams.links import StreamLinks
from im_service.storage.errors import StoreError
from tests.support.faulty_proxy import FaultyProxy
from tests.support.nats_process import NatsProcess
from tests.support.sdk_client import until

BEACON_S = 0.1
ALL_WORD = (ALL, "")


@dataclass
class ImProcess:
    """An im process as the others know it: what it remembers is read again, as the words say."""

    bus: NatsBus
    links: StreamLinks
    coordination: BeaconCoordination
    peers: BusPeers
    read: list[tuple[str, str]] = field(default_factory=list)


@asynccontextmanager
async def im_process(
    number: int, url: str, dead_after_s: float, refresh: Callable[[str, str], Awaitable[None]] | None = None
) -> AsyncIterator[ImProcess]:
    bus = NatsBus(SecretUrl(url), "peers")
    links = StreamLinks(bus, (number, 100 - number), BEACON_S)
    coordination = BeaconCoordination(bus, BEACON_S, dead_after_s)
    coordination.on(None, lambda info, alive: None if alive else links.forget(info.node_id, info.epoch))
    read: list[tuple[str, str]] = []

    async def note(kind: str, key: str) -> None:
        if refresh is not None:
            await refresh(kind, key)
        read.append((kind, key))

    peers = BusPeers(links, coordination, (number, 100 - number), note)
    parts = (links, coordination, peers)
    await bus.start()
    for part in parts:
        await part.start()
    coordination.announce(NodeInfo(number, 100 - number, f"im{number}", ("im",)))
    try:
        yield ImProcess(bus, links, coordination, peers, read)
    finally:
        for part in reversed(parts):
            await part.stop(0)
        await bus.close()


@pytest.fixture
async def cut_off(tmp_path: Path) -> AsyncIterator[tuple[str, FaultyProxy]]:
    """The address of a NATS server, and a way to it that can be cut."""
    with NatsProcess(tmp_path) as server:
        port = urlsplit(server.url).port
        assert port is not None
        async with FaultyProxy("127.0.0.1", port, random.Random(1)) as proxy:
            yield server.url, proxy


@pytest.mark.parametrize("dead_after_s", [30.0, 0.5], ids=["a flap", "long enough to be taken for dead"])
async def test_who_was_away_hears_of_every_change_or_reads_all_again(
    cut_off: tuple[str, FaultyProxy], dead_after_s: float
) -> None:
    url, proxy = cut_off
    async with (
        im_process(1, url, dead_after_s) as one,
        im_process(2, f"nats://{proxy.address}", dead_after_s) as two,
    ):
        await until(lambda: ALL_WORD in one.read and ALL_WORD in two.read)
        one.peers.changed("pair", "ann ben")
        await until(lambda: ("pair", "ann ben") in two.read)
        one.read.clear()
        two.read.clear()
        proxy.refusing = True
        proxy.cut()
        await until(lambda: not two.bus.connected)
        one.peers.changed("pair", "cy di")
        two.peers.changed("account", "eve")
        await asyncio.sleep(1.0)  # words said meanwhile are gone for good, beacons too
        proxy.refusing = False
        await until(lambda: ("pair", "cy di") in two.read or ALL_WORD in two.read, 20)
        await until(lambda: ("account", "eve") in one.read or ALL_WORD in one.read, 20)


async def test_a_change_is_read_again_until_the_store_is_back(cut_off: tuple[str, FaultyProxy]) -> None:
    url, _ = cut_off
    away = True

    async def refresh(kind: str, key: str) -> None:
        if away:
            raise StoreError("away")

    async with im_process(1, url, 30.0) as one, im_process(2, url, 30.0, refresh) as two:
        await until(lambda: ALL_WORD in one.read)
        one.peers.changed("pair", "ann ben")
        away = False
        await until(lambda: ("pair", "ann ben") in two.read)
