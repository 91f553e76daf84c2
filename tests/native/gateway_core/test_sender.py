"""Sends that leave together: what a socket does not take stays sealed as it is; neighbours notice nothing."""

from __future__ import annotations

import json
import socket
import struct
import subprocess
import sys
import textwrap
from collections.abc import Callable

import pytest

from frame.constants import FrameType
from gateway_core import GatewayConfig
from tests.support.gateway_client import wait_for
from tests.support.gateway_harness import GatewayHarness
from tests.support.tree import ROOT

Start = Callable[..., GatewayHarness]


def test_the_sender_in_use_is_told(start_gateway: Start, sender: str) -> None:
    gateway = start_gateway(loops=2)
    gateway.login("ann")
    expected = (0,) if sender == "send" else (0, 2)  # 0: forbidden on this machine
    wait_for(lambda: gateway.stats()["loops_io_uring"] in expected)
    with pytest.raises(ValueError, match="sender"):
        GatewayConfig(sender="carrier pigeon")


FORBIDDEN = """
    import ctypes, json, struct
    from frame.constants import FrameType
    from tests.support.gateway_harness import GatewayHarness

    # seccomp filter: io_uring_setup (425 on every architecture) answers EPERM, all else is allowed
    code = b"".join(struct.pack("HBBI", *line) for line in (
        (0x20, 0, 0, 0), (0x15, 0, 1, 425), (0x06, 0, 0, 0x00050001), (0x06, 0, 0, 0x7FFF0000)))
    buffer = ctypes.create_string_buffer(code, len(code))
    program = ctypes.create_string_buffer(struct.pack("HxxxxxxP", 4, ctypes.addressof(buffer)))
    libc = ctypes.CDLL(None, use_errno=True)
    assert libc.prctl(38, 1, 0, 0, 0) == 0
    assert libc.prctl(22, 2, program, 0, 0) == 0, ctypes.get_errno()

    gateway = GatewayHarness(sender="io_uring", large_topic=2).start()
    clients = [gateway.login(f"u{i}") for i in range(5)]
    for i in range(5):
        gateway.gateway.join(gateway.conn(f"u{i}"), "r/1")
    gateway.joined(5)
    gateway.gateway.publish("r/1", FrameType.EVENT, b"\\x01hello")
    heard = [client.expect(FrameType.EVENT).decode() for client in clients]
    stats = gateway.stats()
    gateway.stop()
    print(json.dumps({"heard": heard, "rings": stats["loops_io_uring"]}))
"""


def test_where_io_uring_is_forbidden_every_flush_is_a_send() -> None:
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(FORBIDDEN)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {"heard": ["\x01hello"] * 5, "rings": 0}


def test_full_sockets_in_a_sweep_keep_their_stream(start_gateway: Start) -> None:
    gateway = start_gateway(
        large_topic=4, send_buffer=4096, queue_hard_bytes=8 << 20, rekey_records=16, flush_max_delay_ms=0.0
    )
    clients = [
        gateway.login(f"u{i}", suite=1 + i % 3, rcvbuf=2048 if i % 2 else 0, websocket=i % 4 == 3)
        for i in range(20)
    ]
    for i in range(20):
        gateway.gateway.join(gateway.conn(f"u{i}"), "r/1")
    gateway.joined(20)
    for n in range(200):
        gateway.gateway.publish("r/1", FrameType.MSG, struct.pack(">I", n) + bytes(n * 31 % 5000))
    wait_for(lambda: gateway.stats()["partial_writes"] > 5)
    for client in clients:
        for n in range(200):
            body = client.expect(FrameType.MSG)
            assert (body[:4], len(body)) == (struct.pack(">I", n), 4 + n * 31 % 5000)
        client.ping()


def test_a_member_that_is_torn_away_during_sweeps_disturbs_nobody(start_gateway: Start) -> None:
    gateway = start_gateway(large_topic=4, flush_max_delay_ms=0.0)
    clients = [gateway.login(f"u{i}") for i in range(30)]
    for i in range(30):
        gateway.gateway.join(gateway.conn(f"u{i}"), "r/1")
    gateway.joined(30)
    for n in range(300):
        if n % 20 == 10:  # a reset, not a close
            victim = clients[n // 10]
            victim.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            victim.sock.close()
        gateway.gateway.publish("r/1", FrameType.EVENT, b"\x01" + struct.pack(">I", n))
    for i, client in enumerate(clients):
        if i % 2 == 0:
            got = [struct.unpack_from(">I", client.expect(FrameType.EVENT), 1)[0] for _ in range(300)]
            assert got == list(range(300))
    gateway.wait_sessions(15)
