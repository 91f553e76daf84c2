"""Sessions that shall leave: picked once, told, closed at their deadline; and a stay that forgets it all."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest

from frame.constants import CloseCode, FrameType
from gateway_core import EV_PICKED
from tests.support.gateway_client import Gone, uv, wait_for
from tests.support.gateway_harness import GatewayHarness

Start = Callable[..., GatewayHarness]


@pytest.fixture
def sender() -> str:
    return "auto"


@pytest.fixture
def gateway(start_gateway: Start) -> GatewayHarness:
    return start_gateway(loops=1)


GOAWAY = uv(3000) + uv(0) + uv(0) + b"\x01\x14tcp://192.0.2.8:7801moving"


def picked(gateway: GatewayHarness) -> list[Any]:
    return gateway.of_kind(EV_PICKED)


def names(gateway: GatewayHarness) -> list[str]:
    return [event[2] for event in picked(gateway) if event[1]]


def rounds(gateway: GatewayHarness) -> int:
    return sum(event[1] == 0 for event in picked(gateway))


def test_each_session_is_picked_once_and_the_end_of_a_round_is_told(gateway: GatewayHarness) -> None:
    for number in range(9):
        gateway.login(f"u{number}", websocket=number == 0)
    gateway.gateway.pick(0, 5)
    wait_for(lambda: len(names(gateway)) == 5)
    assert rounds(gateway) == 0
    gateway.gateway.pick(0, 5)
    wait_for(lambda: rounds(gateway) == 1)
    assert sorted(names(gateway)) == [f"u{number}" for number in range(9)]
    assert {event[2]: event[3:] for event in picked(gateway)[:-1]}["u0"] == ("d1", True, False)
    assert gateway.stats()["live"]["told"] == 9
    gateway.login("late")
    gateway.gateway.pick(0, 100)
    wait_for(lambda: rounds(gateway) == 2)
    assert names(gateway)[-1] == "late"


def test_a_round_without_anybody_ends(gateway: GatewayHarness) -> None:
    gateway.connect().handshake()
    gateway.gateway.pick(0, 7)
    wait_for(lambda: rounds(gateway) == 1)
    assert names(gateway) == []


def test_the_idle_are_picked_first_when_asked_for(gateway: GatewayHarness) -> None:
    silent = gateway.login("silent")
    talks = gateway.login("talks")
    until = time.monotonic() + 2.2
    while time.monotonic() < until:
        talks.ping()
        time.sleep(0.05)
    gateway.gateway.pick(0, 10, 2)
    wait_for(lambda: rounds(gateway) == 1)
    assert names(gateway) == ["silent"]
    silent.ping()


def test_who_is_told_and_stays_is_closed_at_the_deadline(gateway: GatewayHarness) -> None:
    stays, goes, deaf = (gateway.login(name) for name in ("stays", "goes", "deaf"))
    for name in ("stays", "goes"):
        gateway.gateway.send_away(gateway.conn(name), GOAWAY, 1, CloseCode.DRAINING)
    gateway.gateway.send_away(gateway.conn("deaf"), GOAWAY, 0, CloseCode.DRAINING)
    assert [one.expect(FrameType.GOAWAY) for one in (stays, goes, deaf)] == [GOAWAY] * 3
    goes.close()
    assert stays.close_code() == CloseCode.DRAINING
    wait_for(lambda: gateway.closed_codes("stays") == [CloseCode.DRAINING])
    assert gateway.reasons()["sent_away"] == 1
    assert deaf.ping() == uv(0), "without a deadline nobody is closed"
    assert gateway.stats()["goaways"] == 3


def test_a_stay_ends_it_all_and_all_can_be_picked_again(gateway: GatewayHarness) -> None:
    one, two = gateway.login("one"), gateway.login("two")
    gateway.gateway.pick(0, 1)
    wait_for(lambda: len(names(gateway)) == 1)
    gateway.gateway.send_away(gateway.conn("one"), GOAWAY, 1, CloseCode.DRAINING)
    one.expect(FrameType.GOAWAY)
    gateway.gateway.stay()
    wait_for(lambda: gateway.stats()["live"]["told"] == 0)
    began = time.monotonic()
    while time.monotonic() - began < 1.5:
        one.ping()
        two.ping()
        time.sleep(0.05)
    gateway.gateway.pick(0, 10)
    wait_for(lambda: rounds(gateway) == 1)
    assert sorted(names(gateway)[1:]) == ["one", "two"]


def test_sessions_from_before_are_picked_without_those_that_came_since(gateway: GatewayHarness) -> None:
    for name in ("one", "two", "late"):
        gateway.login(name)
    gateway.gateway.pick(0, 10, 0, 3)  # the harness gives 1, 2, 3
    wait_for(lambda: rounds(gateway) == 1)
    assert sorted(names(gateway)) == ["one", "two"]
    gateway.gateway.pick(0, 10)
    wait_for(lambda: rounds(gateway) == 2)
    assert names(gateway)[-1] == "late"


def test_a_command_for_who_is_gone_hits_nothing(gateway: GatewayHarness) -> None:
    client = gateway.login("gone")
    client.close()
    gateway.wait_sessions(0)
    gateway.gateway.send_away(gateway.conn("gone"), GOAWAY, 1, CloseCode.DRAINING)
    wait_for(lambda: gateway.stats()["stale_commands"] == 1)


def test_who_is_over_age_is_picked_and_closed_when_it_stays(start_gateway: Start) -> None:
    gateway = start_gateway(max_age_s=1)
    client = gateway.login("ann")
    wait_for(lambda: [event[2:6] for event in picked(gateway)] == [("ann", "d1", False, True)])
    client.ping()
    assert client.close_code() == CloseCode.MAX_AGE
    assert gateway.reasons()["max_age"] == 1


def test_while_it_is_eased_nobody_leaves_for_their_age(start_gateway: Start) -> None:
    gateway = start_gateway(max_age_s=1)
    gateway.gateway.ease(1)
    client = gateway.login("ann")
    began = time.monotonic()
    while time.monotonic() - began < 2.5:
        client.ping()
        time.sleep(0.05)
    assert picked(gateway) == []
    gateway.gateway.ease(0)
    wait_for(lambda: names(gateway) == ["ann"])


def test_a_listener_that_closes_tells_nobody(gateway: GatewayHarness) -> None:
    client = gateway.login("ann")
    before = gateway.stats()["commands"]
    gateway.gateway.stop_accepting()
    wait_for(lambda: gateway.stats()["commands"] > before)
    with pytest.raises((OSError, Gone)):
        gateway.connect().handshake()
    assert client.ping() == uv(0)
    assert gateway.stats()["goaways"] == 0
