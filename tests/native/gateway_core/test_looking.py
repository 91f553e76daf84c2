"""An operator's search is answered from the slab: those who fit, in pages, each once, and the end is told."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from control.gateway.looks import DETAILS, IP, address_of, parse_network
from gateway_core import EV_LOOKED
from tests.support.gateway_client import wait_for
from tests.support.gateway_harness import GatewayHarness

LEAST_RECORD = 19
"""Bytes of a record: length, tag, and a PING in it."""
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
    *found, end = looked(gateway, token)
    return found, end[6]


def looked(gateway: GatewayHarness, token: int) -> list[Any]:
    """Everything that was told under this token, when the end is there."""

    def events() -> list[Any]:
        return [event for event in gateway.of_kind(EV_LOOKED) if event[2] == token]

    wait_for(lambda: any(event[3] == "" for event in events()))
    return events()


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
    address = address_of(values[1 + IP])
    assert address in ("", "127.0.0.1")
    if address:
        for network, count in (("127.0.0.0/8", 3), ("127.0.0.1", 3), ("127.0.0.2/31", 0), ("::/1", 3)):
            ip, bits = parse_network(network)
            assert len(look(gateway, 10 + bits, 0, 1000, 100, network=ip, bits=bits)[0]) == count, network
    assert look(gateway, 4, conn & 0xFFFFFFFF, 1, 1)[0][0][1] == conn


def test_what_the_kernel_counts_of_a_connection_is_told_when_somebody_looks(gateway: GatewayHarness) -> None:
    ann = gateway.login("ann")
    ((*_, before, _),) = look(gateway, 1, 0, 1000, 1)[0]
    for _ in range(50):
        ann.ping()
    ((*_, after, _),) = look(gateway, 2, 0, 1000, 1)[0]
    (received, acked, _, _), (later, more, rtt_us, _) = (
        DETAILS.unpack(each)[-4:] for each in (before, after)
    )
    assert later >= received + 50 * LEAST_RECORD
    assert more >= acked + 49 * LEAST_RECORD, "the last answer may not be acknowledged yet"
    assert 0 < rtt_us < 5_000_000


@pytest.mark.parametrize("large", [4, 1000])
def test_members_of_a_topic_are_counted_and_found_in_pages(start_gateway: Start, large: int) -> None:
    gateway = start_gateway(loops=1, large_topic=large)
    inside = {f"in{number}" for number in range(7)}
    for user in sorted(inside | {"out1", "out2"}):
        gateway.login(user)
    for user in inside:
        gateway.gateway.join(gateway.conn(user), "r/x")
    gateway.gateway.join(gateway.conn("out1"), "r/y")
    gateway.joined(8)
    gateway.gateway.look(0, 9, 0, 0, 0, topic=b"r/x")
    (end,) = looked(gateway, 9)
    assert int.from_bytes(end[5], "little") == 7
    first, at = look(gateway, 1, 0, 1000, 3, topic=b"r/x")
    assert (len(first), at > 0) == (3, True)
    rest, end_at = look(gateway, 2, at, 1000, 100, topic=b"r/x")
    assert (sorted(event[3] for event in first + rest), end_at) == (sorted(inside), 0)
    assert [event[3] for event in look(gateway, 3, 0, 1000, 9, topic=b"r/x", user=b"in3")[0]] == ["in3"]
    assert look(gateway, 4, 0, 1000, 9, topic=b"r/nobody") == ([], 0)
    for user, inside_too in (("in3", True), ("out1", False)):
        found, _ = look(gateway, 6 + inside_too, gateway.conn(user) & 0xFFFFFFFF, 1, 1, topic=b"r/x")
        assert (gateway.conn(user) in [event[1] for event in found]) == inside_too, "asked of one connection"
    few, more = look(gateway, 5, 0, 2, 9, topic=b"r/x")
    assert (len(few), more > 0) == (2, True), "members are found without looking at others"


def test_what_is_no_name_or_network_is_refused(gateway: GatewayHarness) -> None:
    for words in (
        {"user": b"x" * 65},
        {"topic": b"x" * 81},
        {"network": b"", "bits": 8},
        {"network": bytes(16), "bits": 129},
    ):
        with pytest.raises(ValueError, match="nobody has"):
            gateway.gateway.look(0, 1, 0, 1, 1, **words)
