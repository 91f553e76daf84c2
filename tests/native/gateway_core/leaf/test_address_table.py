"""Connections of an address and of an IPv6 /64 are limited; leaving gives back what entering took."""

from __future__ import annotations

import ipaddress
import threading

from tests.native.gateway_core.faces.leaf import Addresses

OK, TOO_MANY, TOO_FAST, NET_FULL = range(4)
SECOND = 1_000_000_000
NOT_COUNTED = 0xFFFFFFFF


def ip(text: str) -> bytes:
    address = ipaddress.ip_address(text)
    return address.packed if address.version == 6 else bytes(10) + b"\xff\xff" + address.packed


def test_connections_of_one_address_are_limited_and_others_are_not() -> None:
    table = Addresses(connections=3)
    refs = [table.enter(ip("203.0.113.9"), SECOND) for _ in range(4)]
    assert [verdict for verdict, _ in refs] == [OK, OK, OK, TOO_MANY]
    assert table.enter(ip("203.0.113.10"), SECOND)[0] == OK
    table.leave(refs[0][1])
    assert table.enter(ip("203.0.113.9"), SECOND)[0] == OK


def test_accepts_come_back_with_time() -> None:
    table = Addresses(per_s=10, burst=5)
    at = 100 * SECOND
    assert [table.enter(ip("203.0.113.9"), at)[0] for _ in range(6)] == [OK] * 5 + [TOO_FAST]
    at += SECOND // 5
    assert [table.enter(ip("203.0.113.9"), at)[0] for _ in range(3)] == [OK, OK, TOO_FAST]


def test_a_64_is_counted_over_its_addresses_and_ipv4_has_none() -> None:
    table = Addresses(net64=4)
    refs = [table.enter(ip(f"2001:db8::{n}"), SECOND) for n in range(1, 7)]
    assert [verdict for verdict, _ in refs] == [OK] * 4 + [NET_FULL] * 2
    assert table.enter(ip("2001:db8:0:1::1"), SECOND)[0] == OK
    assert {table.enter(ip("203.0.113.9"), SECOND)[0] for _ in range(10)} == {OK}
    for _, ref in refs[:4]:
        table.leave(ref)
    assert [table.enter(ip(f"2001:db8::{n}"), SECOND)[0] for n in range(10, 15)] == [OK] * 4 + [NET_FULL]


def test_without_limits_nothing_is_counted() -> None:
    table = Addresses()
    assert table.enter(ip("203.0.113.9"), SECOND) == (OK, NOT_COUNTED)
    table.leave(NOT_COUNTED)


def test_a_flood_of_addresses_is_let_in_uncounted_and_gives_its_places_back() -> None:
    table = Addresses(connections=1)
    taken = [table.enter(n.to_bytes(16, "big"), SECOND) for n in range(1 << 100, (1 << 100) + 80_000)]
    assert {verdict for verdict, _ in taken} == {OK}
    assert any(ref == NOT_COUNTED for _, ref in taken), "the table is bounded"
    for _, ref in taken:
        table.leave(ref)
    again = [table.enter(n.to_bytes(16, "big"), SECOND) for n in range(1 << 101, (1 << 101) + 1_000)]
    assert all(ref != NOT_COUNTED for _, ref in again)


def test_loops_share_the_table() -> None:
    table, each = Addresses(connections=1 << 20), 3_000

    def work() -> None:
        for _ in range(each):
            verdict, ref = table.enter(ip("2001:db8::1"), SECOND)
            assert verdict == OK
            table.leave(ref)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    one = Addresses(connections=1)
    assert one.enter(ip("2001:db8::1"), SECOND)[0] == OK
    assert table.enter(ip("2001:db8::1"), SECOND)[0] == OK
