"""Queues and publishing: references to one shared frame, and handing a message to the loop threads."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Iterator

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from benchmarks.micro.loops import queue_cycle
from crypto.noise import generate_keypair
from frame.constants import FrameType
from gateway_core import Gateway, GatewayConfig

FRAMES, TIMES = 64, 50
BODY = bytes(60)


@pytest.fixture
def core() -> Iterator[Gateway]:
    private, public = generate_keypair()
    gateway = Gateway(GatewayConfig(port=0, loops=1), [(1, private, public)], b"")
    gateway.start()
    yield gateway
    gateway.stop(0.0)


@pytest.mark.benchmark(group="queue 64 frames and take them out, x 50")
def test_out_queue(benchmark: BenchmarkFixture) -> None:
    assert benchmark(queue_cycle, FRAMES, TIMES) == FRAMES * TIMES


@pytest.mark.benchmark(group="queue 64 frames and take them out, x 50")
def test_deque(benchmark: BenchmarkFixture) -> None:
    def work() -> int:
        queue: deque[bytes] = deque()
        done = 0
        for _ in range(TIMES):
            for _ in range(FRAMES):
                queue.append(BODY)
            while queue:
                queue.popleft()
                done += 1
        return done

    assert benchmark(work) == FRAMES * TIMES


@pytest.mark.benchmark(group="hand 100 messages to another thread")
def test_topic_publish(benchmark: BenchmarkFixture, core: Gateway) -> None:
    messages: list[tuple[str, int, bytes, int, int | None]] = [("r/hall", FrameType.EVENT, BODY, 0, 0)] * 100
    benchmark(core.publish_many, messages)


@pytest.mark.benchmark(group="hand 100 messages to another thread")
def test_call_soon_threadsafe(benchmark: BenchmarkFixture) -> None:
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()

    def work() -> None:
        for _ in range(100):
            loop.call_soon_threadsafe(len, BODY)

    benchmark(work)
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()
