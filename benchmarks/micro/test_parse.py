"""Parsing: 64 frames of 100 bytes, as QW1 frames and as masked WebSocket frames."""

from __future__ import annotations

from collections.abc import Generator

import pytest
from pytest_benchmark.fixture import BenchmarkFixture
from websockets.frames import Frame as WebSocketsFrame
from websockets.frames import Opcode
from websockets.streams import StreamReader
from wsproto.connection import Connection, ConnectionType
from wsproto.events import BytesMessage

from benchmarks.micro.loops import parse_frames, parse_websocket
from frame.constants import FrameType
from frame.frames import build, parse
from frame.websocket import apply_mask, build_header

FRAMES = 64
BODY = bytes(range(100))
MASK = b"\x12\x34\x56\x78"
QW1 = build(FrameType.MSG, BODY) * FRAMES
WEBSOCKET = (build_header(2, len(BODY), MASK) + apply_mask(BODY, MASK)) * FRAMES


@pytest.mark.benchmark(group="parse 64 frames of 100 B")
def test_qw1_in_c(benchmark: BenchmarkFixture) -> None:
    assert benchmark(parse_frames, QW1) == FRAMES


@pytest.mark.benchmark(group="parse 64 frames of 100 B")
def test_qw1_from_python(benchmark: BenchmarkFixture) -> None:
    def work() -> int:
        view, count = memoryview(QW1), 0
        while view:
            used, _ = parse(view)
            view = view[used:]
            count += 1
        return count

    assert benchmark(work) == FRAMES


@pytest.mark.benchmark(group="parse 64 frames of 100 B")
def test_websocket_in_c(benchmark: BenchmarkFixture) -> None:
    assert benchmark(parse_websocket, bytearray(WEBSOCKET)) == FRAMES


@pytest.mark.benchmark(group="parse 64 frames of 100 B")
def test_websockets_library(benchmark: BenchmarkFixture) -> None:
    def drain(step: Generator[None, None, WebSocketsFrame]) -> WebSocketsFrame:
        while True:
            try:
                next(step)
            except StopIteration as done:
                frame: WebSocketsFrame = done.value
                return frame

    def work() -> int:
        reader = StreamReader()
        reader.feed_data(WEBSOCKET)
        found = [drain(WebSocketsFrame.parse(reader.read_exact, mask=True)) for _ in range(FRAMES)]
        return sum(frame.opcode is Opcode.BINARY for frame in found)

    assert benchmark(work) == FRAMES


@pytest.mark.benchmark(group="parse 64 frames of 100 B")
def test_wsproto_library(benchmark: BenchmarkFixture) -> None:
    def work() -> int:
        connection = Connection(ConnectionType.SERVER)
        connection.receive_data(WEBSOCKET)
        return sum(isinstance(event, BytesMessage) for event in connection.events())

    assert benchmark(work) == FRAMES
