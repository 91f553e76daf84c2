"""What a client that stops reading costs: so much in the kernel, so much in its queue, no turn of a loop."""

from __future__ import annotations

import fcntl
import socket
import struct
from collections.abc import Callable
from pathlib import Path

import pytest

from frame.constants import CloseCode, FrameType
from gateway_core import GatewayConfig
from tests.support.gateway_client import WireClient, wait_for
from tests.support.gateway_harness import GatewayHarness

Start = Callable[..., GatewayHarness]

SIOCOUTQNSD = 0x894B  # bytes written to a TCP socket of which nothing was sent yet
FLUSH_MAX = 69_632  # most bytes of one write, which may begin just below the limit
SMALL_WINDOW = 4_096
BODY = 1_000
COUNT = 1_500


def servers_end(client: WireClient) -> socket.socket:
    """A copy of the gateway's socket of this client (the gateway runs in this process); to be closed."""
    for entry in Path("/proc/self/fd").iterdir():
        if not entry.is_socket():
            continue
        found = socket.fromfd(int(entry.name), socket.AF_INET, socket.SOCK_STREAM)
        try:
            if found.getpeername() == client.sock.getsockname():
                return found
        except OSError:  # a listener
            pass
        found.close()
    raise AssertionError("the gateway has no socket of this client")


def unsent_bytes(client: WireClient) -> int:
    with servers_end(client) as sock:
        return int(struct.unpack("i", fcntl.ioctl(sock, SIOCOUTQNSD, bytes(4)))[0])


def deaf_members(gateway: GatewayHarness) -> list[WireClient]:
    """Enough members of g/1 for the batched sender, every suite and carriage; none of them reads any more."""
    clients = [
        gateway.login(f"u{i}", suite=1 + i % 3, rcvbuf=SMALL_WINDOW, websocket=i == 3) for i in range(4)
    ]
    for i in range(4):
        gateway.gateway.join(gateway.conn(f"u{i}"), "g/1")
    gateway.joined(4)
    return clients


def publish(gateway: GatewayHarness, count: int = COUNT) -> None:
    for n in range(count):
        gateway.gateway.publish("g/1", FrameType.MSG, struct.pack(">I", n) + bytes(BODY - 4))


@pytest.mark.parametrize("limit", [16_384, GatewayConfig().unsent_bytes])
def test_what_a_reader_leaves_waits_in_its_queue_and_not_in_the_kernel(
    start_gateway: Start, limit: int
) -> None:
    gateway = start_gateway(
        large_topic=2, unsent_bytes=limit, queue_hard_bytes=8 << 20, flush_max_delay_ms=0.0
    )
    clients = deaf_members(gateway)
    publish(gateway)
    in_kernel = limit + FLUSH_MAX
    in_tails = FLUSH_MAX + SMALL_WINDOW
    least = len(clients) * (COUNT * BODY - in_kernel - in_tails)
    wait_for(lambda: gateway.stats()["live"]["queued_bytes"] > least, what="the rest is queued")
    assert gateway.stats()["live"]["tails"] == len(clients)
    for client in clients:
        assert limit // 2 < unsent_bytes(client) <= in_kernel
    for client in clients:
        for n in range(COUNT):
            assert client.expect(FrameType.MSG)[:4] == struct.pack(">I", n)
        client.ping()


def test_without_the_limit_the_kernel_takes_more(start_gateway: Start) -> None:
    gateway = start_gateway(large_topic=2, unsent_bytes=0, queue_hard_bytes=8 << 20, flush_max_delay_ms=0.0)
    clients = deaf_members(gateway)
    publish(gateway)
    in_kernel = GatewayConfig().unsent_bytes + FLUSH_MAX
    wait_for(lambda: min(map(unsent_bytes, clients)) > 2 * in_kernel, what="buffers fill")


def test_one_who_stops_reading_is_closed_at_the_limits_of_the_queue_and_the_socket(
    start_gateway: Start,
) -> None:
    gateway = start_gateway(queue_hard_bytes=100_000, unsent_bytes=16_384, large_topic=2)
    gateway.login("slow", rcvbuf=SMALL_WINDOW)
    fast = gateway.login("fast")
    for user in ("slow", "fast"):
        gateway.gateway.join(gateway.conn(user), "g/1")
    gateway.joined(2)
    for n in range(400):
        gateway.gateway.publish("g/1", FrameType.MSG, struct.pack(">I", n) + bytes(BODY))
        assert fast.expect(FrameType.MSG)[:4] == struct.pack(">I", n)
    wait_for(lambda: gateway.closed_codes("slow") == [CloseCode.SLOW_CONSUMER])


def test_a_blocked_socket_wakes_no_loop(start_gateway: Start) -> None:
    gateway = start_gateway(large_topic=2, queue_hard_bytes=8 << 20, flush_max_delay_ms=0.0)
    clients = deaf_members(gateway)
    witness = gateway.login("witness")
    publish(gateway)
    wait_for(
        lambda: gateway.stats()["live"]["tails"] == len(clients) and not gateway.stats()["live"]["batches"]
    )
    witness.ping()
    before = gateway.stats()["ticks"]
    assert witness.quiet(0.5)
    assert gateway.stats()["ticks"] - before < 50, "a loop at rest turns about once a second"


@pytest.mark.parametrize("bad", [-1, 1, 4_095, 1 << 30])
def test_a_limit_too_small_for_a_handshake_is_refused(bad: int) -> None:
    with pytest.raises(ValueError, match="unsent_bytes"):
        GatewayConfig(unsent_bytes=bad)
