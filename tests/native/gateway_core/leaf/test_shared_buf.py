"""Shared frames: bytes as written, counted across threads, one compressed twin whoever asks first."""

from __future__ import annotations

import os
import threading

from tests.native.gateway_core.faces.leaf import Frames, buffers_alive

from frame.constants import FrameType
from frame.frames import parse


def test_a_frame_holds_head_body_and_name() -> None:
    buf = Frames(FrameType.MSG, b"head", b"body", b"r/hall")
    consumed, frame = parse(buf.data())
    assert consumed == len(buf.data())
    assert frame is not None
    assert (frame.type, frame.body) == (FrameType.MSG, b"headbody")
    assert buf.name() == b"r/hall"
    assert buf.counts() == (1, 1, 1)
    assert Frames(FrameType.EVENT, b"", b"").counts() == (1, 1, 0)


def test_references_of_many_threads_add_up() -> None:
    before = buffers_alive()
    buf = Frames(FrameType.EVENT, b"", b"x" * 100)
    threads = [threading.Thread(target=buf.refer, args=(50_000,)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert buf.counts()[0] == 1
    assert buffers_alive() == before + 1
    del buf
    assert buffers_alive() == before


def pack(buf: Frames, found: list[bytes]) -> None:
    found.append(buf.packed())


def test_the_compressed_twin_is_made_once_and_only_when_it_pays() -> None:
    before = buffers_alive()
    text = Frames(FrameType.MSG, b"", b"to be or not to be, that is the question: " * 20)
    found: list[bytes] = []
    threads = [threading.Thread(target=pack, args=(text, found)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(found)) == 1
    assert len(found[0]) < len(text.data()) // 2
    assert buffers_alive() == before + 2
    noise = Frames(FrameType.MSG, b"", os.urandom(2000))
    short = Frames(FrameType.MSG, b"", b"a" * 100)
    zeros = Frames(FrameType.MSG, b"", bytes(60_000))  # better than the ratio that receivers accept
    assert [buf.packed() == buf.data() for buf in (noise, short, zeros)] == [True] * 3
    del text, noise, short, zeros
    assert buffers_alive() == before
