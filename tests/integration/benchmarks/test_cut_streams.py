"""However the network cuts the stream, every client understands every byte: TCP and WebSocket, all suites."""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from benchmarks.loadgen.fleet import TokenMint
from benchmarks.loadgen.swarm import Swarm

ROOT = Path(__file__).resolve().parents[3]
MEMBERS, MESSAGES, SIZE = 12, 60, 700


@pytest.fixture(scope="module")
def core() -> Iterator[dict[str, Any]]:
    """The gateway core alone, in its own process; where it listens."""
    words = [
        sys.executable,
        "-m",
        "benchmarks.core_alone",
        "--config",
        '{"relay_prefix": "r/", "inbound_per_s": 0}',
    ]
    process = subprocess.Popen(words, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdin is not None
    assert process.stdout is not None
    yield json.loads(process.stdout.readline())
    process.stdin.close()
    assert process.wait(60) == 0


@asynccontextmanager
async def cutting_proxy(port: int, rng: random.Random) -> AsyncIterator[int]:
    """Forwards both directions in pieces of random size, from one byte up."""

    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(rng.choice((1, 2, 3, 7, 50, 1500, 9000))):
                writer.write(data)
                await writer.drain()
        writer.close()

    async def client(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        up_reader, up_writer = await asyncio.open_connection("127.0.0.1", port)
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.gather(pump(reader, up_writer), pump(up_reader, writer))

    server = await asyncio.start_server(client, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


@pytest.mark.parametrize("websocket", [False, True], ids=["tcp", "websocket"])
@pytest.mark.parametrize("suite", [1, 2, 3])
async def test_every_message_survives_random_cuts(core: dict[str, Any], websocket: bool, suite: int) -> None:
    seed = random.randrange(1 << 32)
    print("seed", seed)
    async with cutting_proxy(core["port"], random.Random(seed)) as port:
        swarm = Swarm(
            wire="qw1", gateways=[("127.0.0.1", port)], count=MEMBERS + 1, tracked=MEMBERS, first=0,
            suite=suite, text_size=SIZE, key_id=core["key_id"], server_key=bytes.fromhex(core["server_key"]),
            core=True, websocket=websocket,
        )  # fmt: skip
        swarm.login_with(*TokenMint("k", "11" * 32, "i", "a").mint(f"b{i}" for i in range(MEMBERS + 1)))
        swarm.connect(MEMBERS + 1, 4)
        await until(swarm, "live", MEMBERS + 1)
        swarm.join(f"r/{suite}{websocket}".encode(), MEMBERS + 1, 4)
        await until(swarm, "joined", MEMBERS + 1)
        now = time.monotonic_ns()
        swarm.schedule(
            first=MEMBERS, step=1, publisher=0, targets=[f"r/{suite}{websocket}".encode()], interval_ns=1e6,
            start=now, stop=now + MESSAGES * 1_000_000,
        )  # fmt: skip
        await until(swarm, "tracked", MEMBERS * MESSAGES)
        await until(swarm, "acked", MESSAGES)
        seen = swarm.counters()
        swarm.close_all()
    assert (seen["lost_so_far"], seen["duplicated"], seen["reordered"], seen["foreign"]) == (0, 0, 0, 0)
    assert (seen["closed"], seen["failed"]) == (0, 0)


async def until(swarm: Swarm, name: str, value: int) -> None:
    deadline = time.monotonic() + 30
    while swarm.counters()[name] < value:
        assert time.monotonic() < deadline, f"{name}: {swarm.counters()}"
        await asyncio.to_thread(swarm.run, time.monotonic_ns() + 5_000_000)


async def test_a_schedule_whose_first_message_is_due_too_late_sends_nothing(
    core: dict[str, Any],
) -> None:
    swarm = Swarm(
        wire="qw1", gateways=[("127.0.0.1", core["port"])], count=1, tracked=0, first=0, suite=1,
        text_size=SIZE, key_id=core["key_id"], server_key=bytes.fromhex(core["server_key"]), core=True,
    )  # fmt: skip
    swarm.login_with(*TokenMint("k", "11" * 32, "i", "a").mint(["b0"]))
    swarm.connect(1, 1)
    await until(swarm, "live", 1)
    now = time.monotonic_ns()
    swarm.schedule(
        first=0, step=1, publisher=0, targets=[b"r/rare"], interval_ns=1e10,
        start=now + 2_000_000, stop=now + 1_000_000,
    )  # fmt: skip
    assert swarm.sending
    await asyncio.to_thread(swarm.run, now + 5_000_000)
    sent, sending = swarm.counters()["sent"], swarm.sending
    swarm.close_all()
    assert (sent, sending) == (0, False)
