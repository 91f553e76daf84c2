"""Who connects and does not log in takes the place of nobody who does."""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Callable, Iterator

import pytest

from frame.constants import FrameType
from tests.support.gateway_client import Gone, auth_body, wait_for
from tests.support.gateway_harness import IGNORED, GatewayHarness

Start = Callable[..., GatewayHarness]
PLACES = 64
SOON_S = 3.0
"""Far less than auth_timeout_s, for which a place was taken before."""


class Crowd:
    """Sockets that say `greeting` and no more."""

    def __init__(self, port: int, greeting: bytes = b"") -> None:
        self.port = port
        self.greeting = greeting
        self.sockets: list[socket.socket] = []

    def grow(self, count: int) -> None:
        for _ in range(count):
            one = socket.create_connection(("127.0.0.1", self.port))
            with contextlib.suppress(ConnectionError):
                one.sendall(self.greeting)
            self.sockets.append(one)

    def closed(self) -> list[bool]:
        """Which of them the gateway has closed, in the order of their arrival."""
        return [ended(one) for one in self.sockets]


def ended(one: socket.socket) -> bool:
    one.setblocking(False)
    try:
        while one.recv(4096):
            pass
    except BlockingIOError:
        return False
    except ConnectionError:
        pass
    return True


@pytest.fixture
def full(start_gateway: Start) -> Iterator[tuple[GatewayHarness, Crowd]]:
    """A gateway with two sessions whose other places are taken by idle sockets."""
    gateway = start_gateway(max_connections=PLACES, auth_timeout_s=60)
    gateway.login("early")
    gateway.login("other", websocket=True)
    crowd = Crowd(gateway.gateway.port)
    crowd.grow(PLACES - 2)
    wait_for(lambda: gateway.stats()["live"]["connections"] == PLACES, what="full")
    yield gateway, crowd
    for one in crowd.sockets:
        one.close()


def test_the_oldest_idle_socket_gives_way_to_whoever_comes(full: tuple[GatewayHarness, Crowd]) -> None:
    gateway, crowd = full
    assert not any(crowd.closed())
    began = time.monotonic()
    for number in range(5):
        gateway.login(f"late{number}")
    assert time.monotonic() - began < SOON_S
    wait_for(lambda: sum(crowd.closed()) == 5)
    assert crowd.closed() == [True] * 5 + [False] * (PLACES - 7)
    assert gateway.reasons() == {"made_room": 5}
    assert gateway.stats()["refused_full"] == 0
    for client in gateway.clients:
        assert client.ping() is not None


@pytest.mark.parametrize(
    "greeting",
    [b"", b"G", b"GET /nothing HTTP/1.1\r\n\r\n", b"QW\1\1"],
    ids=["silent", "letter", "http", "preamble"],
)
def test_logins_succeed_while_sockets_keep_coming(
    full: tuple[GatewayHarness, Crowd], greeting: bytes
) -> None:
    gateway, crowd = full
    crowd.greeting = greeting
    for number in range(8):
        crowd.grow(PLACES // 2)
        began = time.monotonic()
        gateway.login(f"late{number}", websocket=bool(number % 2)).ping()
        assert time.monotonic() - began < SOON_S
    assert gateway.reasons()["made_room"] > PLACES // 2
    assert gateway.clients[0].ping() is not None


def test_many_places_are_made_at_once_where_many_are_idle(start_gateway: Start) -> None:
    gateway = start_gateway(max_connections=1000, auth_timeout_s=60)
    crowd = Crowd(gateway.gateway.port)
    crowd.grow(1000)
    wait_for(lambda: gateway.stats()["live"]["connections"] == 1000, what="full")
    gateway.login("late")
    assert 1 <= gateway.reasons()["made_room"] <= 1 + 1000 // 64
    for one in crowd.sockets:
        one.close()


def test_nobody_gives_way_who_has_logged_in_or_waits_for_the_verdict(start_gateway: Start) -> None:
    gateway = start_gateway(max_connections=8, auth_timeout_s=60)
    for number in range(6):
        gateway.login(f"user{number}")
    asked = [gateway.connect().handshake() for _ in range(2)]
    for number, client in enumerate(asked):
        client.frame(FrameType.AUTH, auth_body(IGNORED.encode(), device=b"d%d" % number))
    wait_for(lambda: gateway.stats()["live"]["preauth"] == 0, what="both were passed on")
    with pytest.raises((Gone, ConnectionError)):
        gateway.connect().handshake()
    wait_for(lambda: gateway.stats()["refused_full"] == 1)
    assert gateway.reasons() == {}
    for client in gateway.clients[:6]:
        assert client.ping() is not None
