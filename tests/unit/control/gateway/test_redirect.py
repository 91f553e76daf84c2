"""Addresses of a GOAWAY: for the client's transport, and only such that it can read."""

from __future__ import annotations

from qianwan.protocol.messages import parse_goaway

from control.coordination.base import NodeInfo
from control.gateway.redirect import Redirect, goaway


def test_a_client_is_sent_where_its_transport_is_served() -> None:
    nodes = [
        NodeInfo(2, 1, "b", ("gateway",), "2001:db8::2", 7801),
        NodeInfo(3, 1, "c", ("gateway",), "192.0.2.3", 7801, wss="im.example:443"),
        NodeInfo(4, 1, "d", ("gateway",), "h" * 300, 7801),
    ]
    redirect = Redirect(lambda: nodes, 1, "", "", 8)
    assert set(redirect.addresses("u", "d", False)) == {"tcp://[2001:db8::2]:7801", "tcp://192.0.2.3:7801"}
    assert set(redirect.addresses("u", "d", True)) == {
        "ws://[2001:db8::2]:7801/qw1",
        "wss://im.example:443/qw1",
    }
    assert redirect.others() == 3


def test_zone_and_carrier_of_this_gateway_stand_for_those_of_its_clients() -> None:
    nodes = [
        NodeInfo(number, 1, "", ("gateway",), "192.0.2.1", number, "near" if number == 7 else "far")
        for number in range(2, 9)
    ]
    redirect = Redirect(lambda: nodes, 1, "near", "", 3)
    assert all(redirect.addresses(f"u{n}", "d", False)[0] == "tcp://192.0.2.1:7" for n in range(20))


def test_the_body_is_read_by_the_client() -> None:
    body = goaway(3000, 500, 1000, ["tcp://192.0.2.8:7801"], "draining")
    assert parse_goaway(body) == (3000, 500, 1000, ("tcp://192.0.2.8:7801",), "draining")
    assert parse_goaway(goaway(1002, 0, 0, [], "")).addresses == ()
