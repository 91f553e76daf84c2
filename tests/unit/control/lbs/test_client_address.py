"""Whose question it is: nobody can pretend to be elsewhere, and listed proxies are seen through."""

from __future__ import annotations

import pytest

from control.lbs.client_address import client_address, networks, prefix_of

PROXIES = networks(["10.0.0.0/8", "2001:db8:1::/48", "127.0.0.1"])


@pytest.mark.parametrize(
    ("peer", "forwarded", "expected"),
    [
        ("198.51.100.7", [], "198.51.100.7"),
        ("198.51.100.7", ["203.0.113.9"], "198.51.100.7"),
        ("10.0.0.1", ["203.0.113.9"], "203.0.113.9"),
        ("10.0.0.1", ["1.1.1.1, 203.0.113.9"], "203.0.113.9"),
        ("10.0.0.1", ["1.1.1.1, 203.0.113.9, 10.2.3.4"], "203.0.113.9"),
        ("10.0.0.1", ["1.1.1.1", "203.0.113.9, 10.2.3.4"], "203.0.113.9"),
        ("10.0.0.1", ["203.0.113.9:4711"], "203.0.113.9"),
        ("2001:db8:1::1", ["[2001:db8::7]:4711"], "2001:db8::7"),
        ("2001:db8:1::1", ["2001:db8::7"], "2001:db8::7"),
        ("10.0.0.1", ["203.0.113.9, unknown"], "10.0.0.1"),
        ("10.0.0.1", ["203.0.113.9, "], "10.0.0.1"),
        ("10.0.0.1", ["10.0.0.2, 10.0.0.3"], "10.0.0.2"),
        ("::ffff:10.0.0.1", ["::ffff:203.0.113.9"], "203.0.113.9"),
        ("10.0.0.1", ["6.6.6.6, " + "10.0.0.9, " * 40 + "10.0.0.8"], "10.0.0.9"),
        ("fe80::1%eth0", [], "fe80::1"),
    ],
)
def test_only_listed_proxies_are_believed(peer: str, forwarded: list[str], expected: str) -> None:
    assert str(client_address(peer, forwarded, PROXIES)) == expected


def test_a_peer_without_an_address_has_none() -> None:
    assert client_address("", ["203.0.113.9"], PROXIES) is None


def test_ipv6_clients_count_by_their_network() -> None:
    one, other, far = (
        client_address(text, [], ()) for text in ("2001:db8::1", "2001:db8::2", "2001:db8:0:1::1")
    )
    assert prefix_of(one) == prefix_of(other) != prefix_of(far)
