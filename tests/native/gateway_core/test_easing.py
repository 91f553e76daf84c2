"""What is left undone when there is too much to do; heartbeats and acks never are."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import pytest

from frame import frames
from frame.constants import EventKind, FrameType
from gateway_core import EV_SEND
from tests.support.gateway_client import uv, wait_for
from tests.support.gateway_harness import GatewayHarness

READS, EVENTS = 2, 4
BODY = bytes(2000)


@pytest.fixture
def sender() -> str:
    return "auto"


@pytest.fixture
def gateway(start_gateway: Callable[..., GatewayHarness]) -> GatewayHarness:
    return start_gateway(loops=1, inbound_per_s=0)


def eased(gateway: GatewayHarness, what: int) -> None:
    # Commands are counted behind their turn: the first ones that are counted may be those of the logins.
    for _ in range(4):
        before = gateway.stats()["commands"]
        gateway.gateway.ease(what)
        wait_for(lambda before=before: gateway.stats()["commands"] > before)


def send_of(number: int) -> bytes:
    return frames.build(FrameType.SEND, uv(number) + b"\x05u/bob" + BODY)


def test_a_heavy_sender_waits_and_the_others_do_not(gateway: GatewayHarness) -> None:
    heavy, light = gateway.login("heavy"), gateway.login("light")
    eased(gateway, READS)
    count, began = 40, time.monotonic()
    # In one write: of one message a write a loop that is awake reads each, never its piece at once.
    whole = b"".join(heavy.record(send_of(number)) for number in range(count))
    writing = threading.Thread(target=heavy.write, args=(whole,))
    writing.start()
    wait_for(lambda: gateway.stats()["reads_eased"] >= 3)
    slowest = 0.0
    for _ in range(20):
        asked = time.monotonic()
        assert light.ping() == uv(0)
        slowest = max(slowest, time.monotonic() - asked)
    assert slowest < 0.2, "a light sender is not paused"
    writing.join()
    wait_for(lambda: len(gateway.of_kind(EV_SEND)) == count, 30)
    # 80 kB in pieces of 4 kB, a quarter of a second apart
    assert time.monotonic() - began > 3
    assert [event[4] for event in gateway.of_kind(EV_SEND)] == list(range(count)), (
        "late, but whole and in order"
    )
    assert heavy.ping() == uv(0)


def test_the_end_of_easing_ends_the_pause(gateway: GatewayHarness) -> None:
    heavy = gateway.login("heavy")
    eased(gateway, READS)
    heavy.send(*(send_of(number) for number in range(30)))
    wait_for(lambda: gateway.stats()["reads_eased"] >= 1)
    began = time.monotonic()
    gateway.gateway.ease(0)
    wait_for(lambda: len(gateway.of_kind(EV_SEND)) == 30)
    assert time.monotonic() - began < 2


def test_what_a_paused_sender_wrote_before_it_left_is_read(gateway: GatewayHarness) -> None:
    heavy = gateway.login("heavy")
    eased(gateway, READS)
    heavy.send(*(send_of(number) for number in range(10)))
    heavy.close()
    wait_for(lambda: len(gateway.of_kind(EV_SEND)) == 10, 30)


def test_presence_and_notices_are_left_out_and_counted_and_messages_are_not(gateway: GatewayHarness) -> None:
    client = gateway.login("ann")
    gateway.gateway.join(gateway.conn("ann"), "r/1")
    gateway.joined(1)
    eased(gateway, EVENTS)
    gateway.gateway.publish("u/ann", FrameType.EVENT, bytes([EventKind.PRESENCE]) + b"p")
    gateway.gateway.publish("r/1", FrameType.EVENT, bytes([EventKind.NOTICE]) + b"came", -2)
    gateway.gateway.publish_many([("r/1", FrameType.EVENT, bytes([EventKind.NOTICE]) + b"went", -2, None)])
    gateway.gateway.publish("r/1", FrameType.EVENT, bytes([EventKind.NOTICE]) + b"kicked", -1)
    gateway.gateway.publish("r/1", FrameType.EVENT, bytes([EventKind.ROOM_MESSAGES]) + b"m")
    gateway.gateway.publish("u/ann", FrameType.MSG, bytes([EventKind.PRESENCE]) + b"a message")
    assert [client.expect(FrameType.EVENT)[1:] for _ in range(2)] == [b"kicked", b"m"]
    assert client.expect(FrameType.MSG)[1:] == b"a message"
    assert gateway.stats()["eased_events"] == 3
    gateway.gateway.ease(0)
    gateway.gateway.publish("u/ann", FrameType.EVENT, bytes([EventKind.PRESENCE]) + b"again")
    assert client.expect(FrameType.EVENT)[1:] == b"again"


def test_how_full_the_rings_are_is_told(start_gateway: Callable[..., GatewayHarness]) -> None:
    gateway = start_gateway(loops=1, event_ring=64, inbound_per_s=0)
    client = gateway.login("ann")
    assert gateway.stats()["max_events_fill"] < 0.1
    gateway.paused.set()
    one = frames.build(FrameType.SEND, uv(1) + b"\x05u/bobx")
    wait_for(lambda: (client.send(one), gateway.stats()["max_events_fill"] > 0.8)[1])
    gateway.paused.clear()
    wait_for(lambda: gateway.stats()["max_events_fill"] == 0)
    assert gateway.stats()["max_mailbox_fill"] <= 0.1
