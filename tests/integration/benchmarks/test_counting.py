"""Loss, reordering and duplication are counted exactly, not estimated.

A server that lies is driven through the NATS wire: each client gets exactly the sequence that was scripted.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import pytest

from benchmarks.loadgen.histogram import Histogram
from benchmarks.loadgen.swarm import Swarm

TEXT = 60


def text(sequence: int, publisher: int = 0, due_ns: int = 0) -> bytes:
    return f"q{publisher:06x}{sequence:08x}{due_ns:016x}.".encode().ljust(TEXT, b"-")


class LyingNats:
    """Answers like NATS; a client that subscribes gets `script` and nothing else, cut at random places."""

    def __init__(self, script: Sequence[bytes], rng: random.Random, cut: int = 400) -> None:
        self.script = script
        self.rng = rng
        self.cut = cut

    async def client(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b'INFO {"server_id":"liar"}\r\n')
        with contextlib.suppress(ConnectionError):
            while line := await reader.readline():
                if line.startswith(b"PING"):
                    writer.write(b"PONG\r\n")
                elif line.startswith(b"SUB"):
                    await self.tell(writer)
        writer.close()

    async def tell(self, writer: asyncio.StreamWriter) -> None:
        data = b"".join(b"MSG hall 1 %d\r\n%s\r\n" % (len(body), body) for body in self.script)
        while data:
            cut = self.rng.randrange(1, self.cut)
            writer.write(data[:cut])
            data = data[cut:]
            await writer.drain()
            if self.rng.random() < 0.05:
                await asyncio.sleep(0)


@asynccontextmanager
async def lying(
    script: Sequence[bytes], rng: random.Random, cut: int = 400
) -> AsyncIterator[tuple[str, int]]:
    liar = LyingNats(script, rng, cut)
    server = await asyncio.start_server(liar.client, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[:2]


async def hear(script: Sequence[bytes], clients: int, publishers: int, seed: int) -> dict[str, int]:
    """The counters of a swarm whose every client was told `script`."""
    async with lying(script, random.Random(seed)) as address:
        swarm = Swarm(
            wire="nats", gateways=[address], count=clients, tracked=clients, first=0, slots=publishers
        )
        swarm.connect(clients, 8)
        deadline = time.monotonic() + 20
        joined = False
        while swarm.counters()["arrived"] < clients * len(script) and time.monotonic() < deadline:
            await asyncio.to_thread(swarm.run, time.monotonic_ns() + 5_000_000)
            if not joined and swarm.counters()["live"] == clients:
                swarm.join(b"hall", clients, 8)
                joined = True
        counters = swarm.counters()
        swarm.close_all()
        return counters


@pytest.mark.parametrize(
    ("sequences", "distinct", "lost", "reordered", "duplicated"),
    [
        ([1, 2, 3, 4, 5], 5, 0, 0, 0),
        ([1, 2, 4, 5], 4, 1, 0, 0),
        ([1, 2, 4, 3, 5], 5, 0, 1, 0),
        ([1, 2, 2, 3, 3, 3], 3, 0, 0, 3),
        ([5, 4, 3, 2, 1], 5, 0, 4, 0),
        ([3, 3, 1, 1, 2, 9], 4, 5, 2, 2),
        ([100, 1, 100, 50, 1], 3, 97, 2, 2),
    ],
)
async def test_known_faults(
    sequences: list[int], distinct: int, lost: int, reordered: int, duplicated: int
) -> None:
    seen = await hear([text(s) for s in sequences], 5, 1, seed=7)
    assert seen["arrived"] == 5 * len(sequences)
    assert seen["tracked"] == 5 * distinct
    assert seen["lost_so_far"] == 5 * lost
    assert seen["reordered"] == 5 * reordered
    assert seen["duplicated"] == 5 * duplicated
    assert seen["foreign"] == 0


async def test_random_faults_of_several_publishers() -> None:
    seed = random.randrange(1 << 32)
    print("seed", seed)
    rng = random.Random(seed)
    script: list[tuple[int, int]] = []
    for publisher in range(3):
        script += [(publisher, s) for s in range(1, 400) if rng.random() > 0.1]
        script += [(publisher, rng.randrange(1, 400)) for _ in range(40)]
    blocks = [script[i : i + 9] for i in range(0, len(script), 9)]
    rng.shuffle(blocks)
    script = [pair for block in blocks for pair in block]
    expected = {"tracked": len(set(script)), "duplicated": len(script) - len(set(script)), "reordered": 0}
    highest: dict[int, int] = {}
    seen: set[tuple[int, int]] = set()
    for pair in script:
        if pair not in seen and pair[1] < highest.get(pair[0], 0):
            expected["reordered"] += 1
        highest[pair[0]] = max(highest.get(pair[0], 0), pair[1])
        seen.add(pair)
    counters = await hear([text(s, p) for p, s in script], 20, 3, seed)
    assert {name: counters[name] for name in expected} == {name: 20 * n for name, n in expected.items()}
    assert counters["lost_so_far"] == 20 * (sum(highest.values()) - len(seen))
    assert counters["untracked"] == 0
    assert counters["memo_hits"] > 0


@pytest.mark.parametrize("hole", [False, True])
async def test_batches_are_counted_by_ranges_as_message_by_message(hole: bool) -> None:
    """Latencies are at most a bin late; a client that missed something is judged message by message."""
    clients, due = 30, time.monotonic_ns()
    script = [text(s, p, due) for s in range(1, 101) for p in range(3) if not hole or (s, p) != (50, 1)]
    async with lying(script, random.Random(1), cut=1 << 30) as address:
        swarm = Swarm(wire="nats", gateways=[address], count=clients, tracked=clients, first=0, slots=3)
        swarm.window(0, 1 << 63)
        swarm.connect(clients, 8)
        deadline, joined = time.monotonic() + 60, False
        while swarm.counters()["arrived"] < clients * len(script) and time.monotonic() < deadline:
            await asyncio.to_thread(swarm.run, time.monotonic_ns() + 5_000_000)
            if not joined and swarm.counters()["live"] == clients:
                swarm.join(b"hall", clients, 8)
                joined = True
        spent_us = (time.monotonic_ns() - due) // 1000
        counters, delivery = swarm.counters(), Histogram()
        delivery.merge(swarm.histograms()["delivery"])
        swarm.close_all()
    assert counters["memo_hits"] > 0
    assert counters["tracked"] == clients * len(script) == delivery.total
    assert counters["lost_so_far"] == (clients if hole else 0)
    assert (counters["reordered"], counters["duplicated"]) == (0, 0)
    assert delivery.max_us <= spent_us + 33


async def test_texts_of_strangers_and_of_another_length_are_noticed() -> None:
    script = [text(1), text(1, publisher=5), text(2) + b"longer"]
    counters = await hear(script, 4, 1, seed=3)
    assert counters["foreign"] == 8
    assert counters["tracked"] == 8
