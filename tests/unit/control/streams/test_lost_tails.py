"""The last message before a silence is lost on the bus: it is found by the next beacon, in real links."""

from __future__ import annotations

import asyncio
import time

import pytest

from control.bus.memory import MemoryBus, MemoryHub
from control.streams.batches import encode
from control.streams.links import StreamLinks
from control.streams.operations import Between, Changed
from control.streams.stream import Kind, decode_envelope
from tests.support.sdk_client import until

BEACON_S = 0.2
SENDER, RECEIVER = (1, 10), (2, 20)


class LossyBus(MemoryBus):
    """Loses the next batches of streams, and nothing else."""

    lose = 0

    def publish(self, subject: str, payload: bytes) -> None:
        if self.lose and subject.startswith("stream.") and decode_envelope(payload).kind == Kind.BATCH:
            self.lose -= 1
            return
        super().publish(subject, payload)


@pytest.mark.parametrize("lost", [1, 3])
async def test_a_lost_last_message_is_found_within_one_beacon(lost: int) -> None:
    hub = MemoryHub()
    buses = LossyBus(hub), LossyBus(hub)
    ends = [StreamLinks(bus, own, BEACON_S) for bus, own in zip(buses, (SENDER, RECEIVER), strict=True)]
    heard: list[str] = []
    losses: list[int] = []
    ends[0].on(Between, lambda peer, batch: None, lambda peer: None)

    def hear(peer: tuple[int, int], batch: Between) -> None:
        heard.extend(each.key for each in batch.operations)

    ends[1].on(Between, hear, losses.append)
    for bus, end in zip(buses, ends, strict=True):
        await bus.start()
        await end.start()
    try:
        stream = ends[0].sender(*RECEIVER)
        stream.push(word("before"))
        await until(lambda: heard == ["before"])
        buses[0].lose = lost
        for n in range(lost):
            stream.push(word(f"last {n}"))
        began = time.monotonic()
        await until(lambda: len(heard) == 1 + lost)  # nothing more is sent: only the beacon tells
        assert time.monotonic() - began < 3 * BEACON_S
        assert heard[1:] == [f"last {n}" for n in range(lost)]
        assert losses == []
    finally:
        for end in ends:
            await end.stop()
        await asyncio.sleep(0)


def word(key: str) -> bytes:
    return encode(Between([Changed("user", key)]))
