"""The door of a running gateway: refusals before any cryptography, for native clients and WebSocket."""

from __future__ import annotations

import socket
from collections.abc import Callable

import pytest

from frame.constants import PreambleFlag, Reject
from gateway_core import NotRunning
from tests.support.gateway_client import Gone, Rejected, uv_get, wait_for
from tests.support.gateway_harness import GatewayHarness

KNOWN = int(PreambleFlag.KNOWN)
OPEN, ONLY_KNOWN, SHUT = 0, 1, 2


@pytest.fixture
def sender() -> str:
    return "auto"


def refused(gateway: GatewayHarness, **options: int) -> tuple[int, int]:
    """What a native client that is turned away is told: (retry_after_ms, jitter_ms)."""
    client = gateway.connect(**options)
    with pytest.raises(Rejected) as caught:
        client.handshake()
    assert caught.value.code == Reject.OVERLOADED
    retry, at = uv_get(caught.value.data)
    jitter, end = uv_get(caught.value.data, at)
    assert end == len(caught.value.data)
    with pytest.raises(Gone):
        client.stream(1)
    return retry, jitter


def upgrade(gateway: GatewayHarness, path: str) -> str:
    with socket.create_connection(("127.0.0.1", gateway.gateway.port), timeout=10) as plain:
        plain.sendall(
            f"GET {path} HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n".encode()
        )
        answer = b""
        while b"\r\n\r\n" not in answer and (got := plain.recv(4096)):
            answer += got
        return answer.decode()


def test_newcomers_and_the_known_have_a_bucket_each(gateway: GatewayHarness) -> None:
    gateway.gateway.admit(0.001, 0.002, 1.0, OPEN, 100, 60_000)
    for user in ("new", "newer"):  # a bucket has room for two at least
        gateway.login(user)
    retry, jitter = refused(gateway)
    assert 30_000 <= retry <= 60_000
    assert jitter == 100
    for user in ("ann", "ben"):
        gateway.login(user, flags=KNOWN)
    refused(gateway, flags=KNOWN)
    stats = gateway.stats()
    assert (stats["admitted_new"], stats["admitted_known"]) == (2, 2)
    assert (stats["deferred_new"], stats["deferred_known"]) == (1, 1)
    assert (stats["handshakes"], stats["reject_overloaded"]) == (4, 2), "no cryptography for who is refused"


def test_the_rate_is_that_of_all_loops_together(start_gateway: Callable[..., GatewayHarness]) -> None:
    gateway = start_gateway(loops=4)
    gateway.gateway.admit(0.0001, 0, 0, OPEN, 100, 60_000)
    for user in ("first", "second"):
        gateway.login(user)
    for _ in range(12):
        refused(gateway)


def test_a_rate_holds_from_now_on_and_ends_as_it_was_set(gateway: GatewayHarness) -> None:
    gateway.login("before")
    gateway.gateway.admit(0, 0, 1.0, SHUT, 100, 1_000)
    refused(gateway)
    refused(gateway, flags=KNOWN)
    gateway.gateway.admit(0, 0, 1.0, ONLY_KNOWN, 100, 1_000)
    refused(gateway)
    gateway.login("known", flags=KNOWN)
    gateway.gateway.admit(0, 0, 1.0, OPEN, 100, 1_000)
    gateway.login("after")


def test_a_websocket_upgrade_is_answered_503_with_retry_after(gateway: GatewayHarness) -> None:
    gateway.gateway.admit(0, 0, 1.0, ONLY_KNOWN, 100, 60_000)
    answer = upgrade(gateway, "/qw1")
    assert answer.startswith("HTTP/1.1 503 ")
    after = next(line for line in answer.split("\r\n") if line.startswith("Retry-After: "))
    assert 30 <= int(after.split()[1]) <= 60
    assert upgrade(gateway, "/qw1?known").startswith("HTTP/1.1 101 ")
    assert upgrade(gateway, "/elsewhere").startswith("HTTP/1.1 404 ")
    assert gateway.stats()["deferred_new"] == 1
    wait_for(lambda: gateway.stats()["live"]["connections"] == 0)


def test_a_websocket_takes_its_place_once(gateway: GatewayHarness) -> None:
    gateway.gateway.admit(0.001, 0.001, 1.0, OPEN, 100, 60_000)
    for number, user in enumerate(("ann", "ben"), 1):
        gateway.login(user, websocket=True)
        assert gateway.stats()["admitted_new"] == number
    assert upgrade(gateway, "/qw1").startswith("HTTP/1.1 503 ")


def test_who_does_not_say_all_of_its_first_words_takes_no_place(gateway: GatewayHarness) -> None:
    gateway.gateway.admit(0.001, 0, 1.0, OPEN, 100, 60_000)
    half = gateway.connect()
    half.write(half.prologue)
    wait_for(lambda: gateway.stats()["bytes_in"] == 8)
    gateway.login("ann")


def test_rates_are_of_a_gateway_that_runs() -> None:
    harness = GatewayHarness()
    with pytest.raises(NotRunning):
        harness.gateway.admit(1, 1, 1, OPEN, 1, 1)
