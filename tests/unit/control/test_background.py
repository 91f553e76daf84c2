"""Work in the background goes on after any error, and says what it met."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from control.bus.memory import MemoryBus
from control.bus.nats import NatsBus
from control.coordination.base import NodeInfo
from control.coordination.beacons import BeaconCoordination
from control.downlink.local import LocalDownlink
from control.im.api import ApiResponder
from control.im.placed import PlacedImApi
from control.settings.values import SecretUrl
from control.streams.links import StreamLinks
from im_service.errors import Code, ImError
from im_service.ports import Session


async def until(condition: Callable[[], bool]) -> None:
    for _ in range(5000):
        if condition():
            return
        await asyncio.sleep(0.001)
    raise AssertionError("the condition did not come true")


class FaultyBus(MemoryBus):
    """Refuses its first publications with an error that nobody expects."""

    def __init__(self, faults: int) -> None:
        super().__init__()
        self.faults = faults
        self.published: list[str] = []

    def publish(self, subject: str, payload: bytes) -> None:
        if self.faults:
            self.faults -= 1
            raise RuntimeError("on purpose")
        self.published.append(subject)


async def test_a_node_goes_on_saying_that_it_lives() -> None:
    bus = FaultyBus(0)
    await bus.start()
    coordination = BeaconCoordination(bus, 0.01, 6.0)
    coordination.announce(NodeInfo(1, 100, "n1", ("im",)))
    bus.faults, bus.published = 2, []
    await coordination.start()
    await until(lambda: len(bus.published) > 2)
    await coordination.stop()


async def test_streams_go_on_with_their_beacons(monkeypatch: pytest.MonkeyPatch) -> None:
    bus, turns = FaultyBus(0), list[int]()
    await bus.start()
    links = StreamLinks(bus, (1, 10), 0.01)

    def beacon() -> None:
        turns.append(1)
        raise RuntimeError("on purpose")

    monkeypatch.setattr(links, "beacon", beacon)
    await links.start()
    await until(lambda: len(turns) > 2)
    await links.stop()


async def test_the_bus_goes_on_publishing() -> None:
    class Client:
        is_connected = True
        published: list[bytes] = []  # noqa: RUF012

        async def publish(self, _: str, payload: bytes) -> None:
            if payload == b"bad":
                raise RuntimeError("on purpose")
            self.published.append(payload)

    bus = NatsBus(SecretUrl("nats://127.0.0.1:1"))
    bus._client = Client()
    writer = asyncio.create_task(bus._write())
    for payload in (b"bad", b"good"):
        bus.publish("topic", payload)
    await until(lambda: Client.published == [b"good"])
    assert bus.dropped == 1
    writer.cancel()


async def test_a_bus_that_is_back_is_told_to_everybody() -> None:
    bus, told = NatsBus(SecretUrl("nats://127.0.0.1:1")), list[str]()

    def fail() -> None:
        raise RuntimeError("on purpose")

    bus.on_reconnect(fail)
    bus.on_reconnect(lambda: told.append("back"))
    await bus._on_reconnect()
    assert told == ["back"]


async def test_a_command_that_cannot_be_carried_out_keeps_none_behind_it() -> None:
    class Full(Exception):
        pass

    class Core:
        """Full, then faulty for one of the two that wait."""

        full = True
        joined: list[str] = []  # noqa: RUF012

        def join(self, _: int, topic: str, *__: object) -> None:
            if self.full:
                raise Full
            if topic == "bad":
                raise RuntimeError("on purpose")
            self.joined.append(topic)

    core: Any = Core()
    down = LocalDownlink(core, Full, lambda: None)
    for topic in ("bad", "good"):
        down.join(Session(0, 1, "ann", "phone"), topic)
    core.full = False
    await until(lambda: Core.joined == ["good"])


async def test_a_fault_behind_the_bus_is_answered_at_once() -> None:
    class Faulty:
        async def call(self, method: str, arguments: object, user: str = "") -> object:
            raise RuntimeError("on purpose")

    bus = MemoryBus()
    await bus.start()
    responder = ApiResponder(bus, 1, Faulty())
    await responder.start()
    async with asyncio.timeout(5):
        with pytest.raises(ImError) as refused:
            await PlacedImApi(bus, lambda: [1]).call("sync", msgspec.Raw(b"\x80"), "ann")
    assert refused.value.code == Code.INTERNAL
    await responder.stop(1.0)
    await bus.close()
