"""An operator's search is answered from the slab: those who fit, in pages, each once, and the end is told."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from control.gateway.looks import DETAILS, address_of, parse_network
from gateway_core import EV_LOOKED
from tests.support.gateway_client import wait_for
from tests.support.gateway_harness import GatewayHarness

Start = Callable[..., GatewayHarness]


@pytest.fixture
def sender() -> str:
    return "auto"


@pytest.fixture
def gateway(start_gateway: Start) -> GatewayHarness:
    return start_gateway(loops=1)


def look(gateway: GatewayHarness, token: int, *words: Any, **names: Any) -> tuple[list[Any], int]:
    """(those found, where to go on)."""
    gateway.gateway.look(0, token, *words, **names)

    def events() -> list[Any]:
        return [event for event in gateway.of_kind(EV_LOOKED) if event[2] == token]

    wait_for(lambda: any(event[3] == "" for event in events()))
    *found, end = events()
    return found, end[6]


def test_a_search_finds_each_once_in_pages_and_tells_the_end(gateway: GatewayHarness) -> None:
    for number in range(9):
        gateway.login(f"u{number}", websocket=number == 0)
    first, at = look(gateway, 1, 0, 1000, 5)
    assert (len(first), at > 0) == (5, True)
    rest, end = look(gateway, 2, at, 1000, 5)
    assert end == 0
    assert sorted(event[3] for event in first + rest) == [f"u{number}" for number in range(9)]
    none, more = look(gateway, 3, 0, 2, 100)
    assert (len(none) <= 2, more > 0) == (True, True), "a page looks at so many slots at most"


def test_it_finds_by_user_by_device_and_by_network(gateway: GatewayHarness) -> None:
    gateway.login("ann")
    gateway.login("ann", device="d2")
    gateway.login("annabel")
    assert len(look(gateway, 1, 0, 1000, 100, user=b"ann")[0]) == 2
    ((_, conn, _, user, device, details, _),) = look(gateway, 2, 0, 1000, 100, user=b"ann", device=b"d2")[0]
    assert (user, device) == ("ann", "d2")
    values = DETAILS.unpack(details)
    assert values[1:3] == (0, 0), "nothing waits"
    assert address_of(values[-1]) in ("", "127.0.0.1")
    if address_of(values[-1]):
        for network, count in (("127.0.0.0/8", 3), ("127.0.0.1", 3), ("127.0.0.2/31", 0), ("::/1", 3)):
            ip, bits = parse_network(network)
            assert len(look(gateway, 10 + bits, 0, 1000, 100, network=ip, bits=bits)[0]) == count, network
    assert look(gateway, 4, conn & 0xFFFFFFFF, 1, 1)[0][0][1] == conn


def test_what_is_no_name_or_network_is_refused(gateway: GatewayHarness) -> None:
    for words in ({"user": b"x" * 65}, {"network": b"", "bits": 8}, {"network": bytes(16), "bits": 129}):
        with pytest.raises(ValueError, match="nobody has"):
            gateway.gateway.look(0, 1, 0, 1, 1, **words)
