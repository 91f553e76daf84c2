"""Slow, stingy and split: the network at its worst, and what one bad peer may cost the others."""

from __future__ import annotations

import asyncio
import random
import socket
import struct
import threading
from collections.abc import Callable, Sequence
from typing import Any

import pytest
import zstandard

from control.downlink.local import LocalDownlink
from frame import frames
from frame.constants import MAX_RAW_BODY, CloseCode, FrameType
from gateway_core import EV_AUTH, EV_CALL, EV_CLOSED, EV_SEND, MailboxFull
from tests.support.gateway_client import Gone, Rejected, uv, wait_for
from tests.support.gateway_harness import GatewayHarness

Start = Callable[..., GatewayHarness]


def proxy_header(ip: str, port: int) -> bytes:
    if ":" in ip:
        addresses = socket.inet_pton(socket.AF_INET6, ip) + bytes(16) + struct.pack(">HH", port, 7801)
        family = 0x21
    else:
        addresses = socket.inet_aton(ip) + bytes(4) + struct.pack(">HH", port, 7801)
        family = 0x11
    return b"\r\n\r\n\0\r\nQUIT\n\x21" + bytes([family]) + struct.pack(">H", len(addresses)) + addresses


@pytest.mark.parametrize("websocket", [False, True])
def test_a_stream_fed_byte_by_byte(gateway: GatewayHarness, websocket: bool) -> None:
    client = gateway.connect(websocket=websocket).handshake(b"\x05\x03abc", step=1)
    client.auth("slow", step=1)
    client.send(*(frames.build(FrameType.SEND, uv(n) + b"\x03u/x" + b"p" * n) for n in range(40)), step=1)
    client.frame(FrameType.PING, step=1)
    client.expect(FrameType.PONG)
    wait_for(lambda: len(gateway.of_kind(EV_SEND)) == 40)
    assert [event[4] for event in gateway.of_kind(EV_SEND)] == list(range(40))
    assert gateway.stats()["live"]["in_bytes"] == 0


def test_partial_writes_never_seal_twice(start_gateway: Start) -> None:
    gateway = start_gateway(send_buffer=4096, queue_hard_bytes=8 << 20, rekey_records=16)
    clients = [gateway.login(f"u{i}", suite=i + 1, rcvbuf=2048, websocket=i == 1) for i in range(3)]
    for n in range(300):
        for i in range(3):
            gateway.gateway.send(
                gateway.conn(f"u{i}"), FrameType.MSG, struct.pack(">I", n) + bytes(n * 31 % 5000)
            )
    wait_for(lambda: gateway.stats()["partial_writes"] > 0)
    for client in clients:
        for n in range(300):
            assert client.expect(FrameType.MSG)[:4] == struct.pack(">I", n)
        client.frame(FrameType.ACK, ack=300)
        client.ping()


def test_a_slow_consumer_is_closed_and_disturbs_nobody(start_gateway: Start) -> None:
    gateway = start_gateway(queue_hard_bytes=100_000, send_buffer=4096, large_topic=2)
    slow = gateway.login("slow", rcvbuf=2048)
    fast = gateway.login("fast")
    for user in ("slow", "fast"):
        gateway.gateway.join(gateway.conn(user), "g/1")
    for n in range(400):
        gateway.gateway.publish("g/1", FrameType.MSG, struct.pack(">I", n) + bytes(1000))
        assert fast.expect(FrameType.MSG)[:4] == struct.pack(">I", n)
    wait_for(lambda: gateway.closed_codes("slow") == [CloseCode.SLOW_CONSUMER])
    assert gateway.stats()["slow_consumer"] == 1
    assert slow.until_closed()[-1].type == FrameType.CLOSE


def test_events_for_a_slow_reader_are_dropped_by_class_and_counted(start_gateway: Start) -> None:
    gateway = start_gateway(queue_event_bytes=30_000, send_buffer=4096)
    slow = gateway.login("slow", rcvbuf=2048)
    gateway.gateway.join(gateway.conn("slow"), "r/1")
    for n in range(1000):
        priority = n % 10 == 0
        gateway.gateway.publish(
            "r/1", FrameType.EVENT, struct.pack(">IB", n, priority) + bytes(200), int(priority)
        )
    gateway.gateway.publish("r/1", FrameType.MSG, b"end")
    wait_for(lambda: gateway.stats()["publishes"] == 1001)
    got = []
    while (frame := slow.next()).type == FrameType.EVENT:
        got.append(struct.unpack_from(">IB", frame.body))
    high = [n for n, priority in got if priority]
    normal = [n for n, priority in got if not priority]
    stats = gateway.stats()
    assert high == list(range(0, 1000, 10)), "high is kept"
    assert stats["dropped_high"] == 0
    assert stats["dropped_normal"] == 900 - len(normal) > 0
    assert [n for n, _ in got] == sorted(n for n, _ in got)
    assert normal[-1] == 999, "the oldest go first"


def test_rekeying_both_ways_across_many_records(start_gateway: Start) -> None:
    gateway = start_gateway(rekey_records=8, large_topic=2)
    clients = [gateway.login(f"u{i}", suite=i + 1) for i in range(3)]
    for i in range(3):
        gateway.gateway.join(gateway.conn(f"u{i}"), "r/1")
    for n in range(100):
        for client in clients:
            if n % 5 == 0:
                client.rekey()
            client.ping()
        gateway.gateway.publish("r/1", FrameType.EVENT, b"%d" % n)
        for client in clients:
            assert client.expect(FrameType.EVENT) == b"%d" % n
    stats = gateway.stats()
    assert stats["rekeys_in"] == 60
    assert stats["rekeys_out"] >= 3 * 200 // 8


def test_full_event_ring_stops_reading_and_loses_nothing(start_gateway: Start) -> None:
    gateway = start_gateway(event_ring=16, inbound_per_s=0)
    clients = [gateway.login(f"u{i}") for i in range(4)]
    gateway.paused.set()
    for client in clients:
        for part in range(10):
            client.send(*(frames.build(FrameType.SEND, uv(part * 50 + n) + b"\x03u/x") for n in range(50)))
    wait_for(lambda: gateway.stats()["read_pauses"] > 0)
    gateway.paused.clear()
    wait_for(lambda: len(gateway.of_kind(EV_SEND)) == 2000)
    for i in range(4):
        mine = [event[4] for event in gateway.of_kind(EV_SEND) if event[2] == f"u{i}"]
        assert mine == list(range(500))


@pytest.mark.parametrize("opcode", [2, 9, 10])
def test_websocket_frames_that_carry_nothing_cost_what_others_cost(start_gateway: Start, opcode: int) -> None:
    gateway = start_gateway(inbound_per_s=1, inbound_burst=50)
    client = gateway.login("flood", websocket=True)
    witness = gateway.login("witness")
    client.sock.sendall(client.wrap(b"", opcode) * 200)
    wait_for(lambda: gateway.reasons() == {"rate": 1})
    witness.ping()


def compressed(raw: bytes) -> bytes:
    return frames.build(FrameType.SEND, uv(len(raw)) + zstandard.compress(raw), compressed=True)


def test_a_body_costs_what_it_is_raw_and_is_bounded_so(start_gateway: Start) -> None:
    """A few hundred bytes on the wire become a whole body here: they are paid for by the body."""
    gateway = start_gateway(inbound_per_s=1, inbound_burst=50)
    request = uv(1) + uv(3) + b"u/b"
    body = random.Random(7).randbytes(2000) * 30  # 60,000 bytes that compress well, yet not a hundred times
    bomb = gateway.login("bomb")
    for _ in range(3):
        bomb.send(compressed(request + body))
    wait_for(lambda: len(gateway.of_kind(EV_SEND)) == 3)
    bomb.send(compressed(request + body))
    assert bomb.close_code() == CloseCode.RATE_LIMITED
    large = gateway.login("large")
    large.send(compressed(request + body + bytes(MAX_RAW_BODY - len(body) - len(request) + 1)))
    wait_for(lambda: gateway.reasons().get("compressed") == 1)


def test_a_flood_of_frames_is_closed_rate_limited(start_gateway: Start) -> None:
    gateway = start_gateway(inbound_per_s=10, inbound_burst=50)
    client = gateway.login("flood")
    witness = gateway.login("witness")
    client.send(*(frames.build(FrameType.PING) for _ in range(49)))
    client.send(
        frames.build(FrameType.PING), frames.build(FrameType.PING), *(frames.build(31) for _ in range(60))
    )
    assert client.close_code() == CloseCode.RATE_LIMITED
    assert witness.ping() == uv(0)


def test_what_is_beyond_the_budget_reaches_nobody(start_gateway: Start) -> None:
    """One record holds thousands of calls: each is paid before it becomes an event."""
    gateway = start_gateway(inbound_per_s=1, inbound_burst=50)
    client = gateway.login("flood")
    client.send(*(frames.build(FrameType.CALL, uv(n) + uv(4) + b"ping") for n in range(5000)))
    assert client.close_code() == CloseCode.RATE_LIMITED
    wait_for(lambda: gateway.of_kind(EV_CLOSED))
    assert len(gateway.of_kind(EV_CALL)) == 50


def test_too_many_connections_of_one_address(start_gateway: Start) -> None:
    gateway = start_gateway(ip_connections=3)
    kept = [gateway.login(f"u{i}") for i in range(3)]
    with pytest.raises((Gone, ConnectionError)):
        gateway.connect().handshake()
    assert gateway.stats()["refused_ip_connections"] == 1
    kept[0].close()
    gateway.wait_sessions(2)
    gateway.login("again")


def test_connects_of_one_address_above_the_rate(start_gateway: Start) -> None:
    gateway = start_gateway(ip_accepts_per_s=1, ip_accepts_burst=5)
    for i in range(5):
        gateway.login(f"u{i}")
    with pytest.raises((Gone, ConnectionError)):
        gateway.connect().handshake()
    assert gateway.stats()["refused_ip_rate"] == 1


def test_proxy_header_from_a_listed_balancer_names_the_peer(start_gateway: Start) -> None:
    gateway = start_gateway(proxy_from=("127.0.0.0/8",), ip_connections=1)
    for i, (ip, text) in enumerate(
        (
            ("203.0.113.9", "203.0.113.9:4711"),
            ("2001:db8::1", "[2001:db8::1]:4711"),
            ("203.0.113.10", "203.0.113.10:4711"),
        )
    ):
        client = gateway.connect(before=proxy_header(ip, 4711), websocket=i == 2).handshake()
        client.auth(f"u{i}")
        assert gateway.of_kind(EV_AUTH)[-1][9] == text
    with pytest.raises((Gone, ConnectionError)):
        gateway.connect(before=proxy_header("203.0.113.9", 1)).handshake()
    assert gateway.reasons()["proxy_refused"] == 1


@pytest.mark.parametrize("websocket", [False, True])
def test_a_balancer_that_names_nobody_is_refused(start_gateway: Start, websocket: bool) -> None:
    """Behind it everybody would be outside the limits of addresses."""
    gateway = start_gateway(proxy_from=("127.0.0.1",), ip_connections=1)
    with pytest.raises((Gone, ConnectionError)):
        gateway.connect(websocket=websocket).handshake()
    wait_for(lambda: gateway.reasons() == {"proxy_missing": 1})


def test_a_storm_of_handshakes_waits_its_turn(start_gateway: Start) -> None:
    gateway = start_gateway(handshake_budget_us=1, handshake_queue=4, ephemerals=0)
    live = gateway.login("live")
    outcome: list[int] = []

    def one(n: int) -> None:
        try:
            gateway.login(f"u{n}")
            outcome.append(0)
        except Rejected as refusal:
            outcome.append(refusal.code)

    threads = [threading.Thread(target=one, args=(n,)) for n in range(16)]
    for thread in threads:
        thread.start()
    for _ in range(20):
        live.ping()
    for thread in threads:
        thread.join(20)
    assert len(outcome) == 16
    assert 0 in outcome
    assert set(outcome) <= {0, 4}


def test_mailbox_full_is_an_error_not_a_loss(start_gateway: Start) -> None:
    gateway = start_gateway(
        large_topic=2, topic_pending=4, flush_messages=1, mailbox=16, mailbox_wait_ms=5000
    )
    clients = [gateway.login(f"u{i}") for i in range(2)]
    for i in range(2):
        gateway.gateway.join(gateway.conn(f"u{i}"), "g/1")
    for n in range(500):
        gateway.gateway.publish("g/1", FrameType.MSG, b"%d" % n)
    for client in clients:
        assert [client.expect(FrameType.MSG) for _ in range(500)] == [b"%d" % n for n in range(500)]
    assert gateway.stats()["stalls"] > 0
    assert issubclass(MailboxFull, Exception)


async def test_what_one_loop_refuses_reaches_every_member_once(start_gateway: Start) -> None:
    """Two loops with tiny mailboxes refuse at different times; a second try repeats nothing to the other."""
    gateway = start_gateway(loops=2, mailbox=4, mailbox_wait_ms=0)
    clients = [gateway.login(f"u{i}") for i in range(8)]
    while 0 in gateway.stats()["per_loop_live"]:  # the kernel chooses; members on both loops are wanted
        clients.append(gateway.login(f"u{len(clients)}"))
    for i in range(len(clients)):
        gateway.gateway.join(gateway.conn(f"u{i}"), "g/1")
        gateway.joined(i + 1)
    partly = 0

    def publish_many(messages: Sequence[Any]) -> tuple[int, int]:
        nonlocal partly
        given, missing = gateway.gateway.publish_many(messages)
        partly += missing in (1, 2)
        return given, missing

    downlink = LocalDownlink(Watched(gateway.gateway, publish_many), MailboxFull, lambda: None)
    for n in range(0, 6000, 20):
        batch = [("g/1", int(FrameType.MSG), b"%d" % k, 0, 0) for k in range(n, n + 20)]
        downlink.publish_many(0, batch)
        async with asyncio.timeout(30):
            while downlink.waiting:  # noqa: ASYNC110
                await asyncio.sleep(0.001)
    assert partly > 0, "some message was taken by one loop and refused by the other"
    for client in clients:
        got = [client.expect(FrameType.MSG) for _ in range(6000)]
        assert got == [b"%d" % n for n in range(6000)]
        client.ping()


class Watched:
    """A core whose batches are looked at."""

    def __init__(self, core: Any, publish_many: Callable[[Sequence[Any]], tuple[int, int]]) -> None:
        self._core = core
        self.publish_many = publish_many

    def __getattr__(self, name: str) -> Any:
        return getattr(self._core, name)
