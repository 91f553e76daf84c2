"""Tables of networks: the longest prefix counts, both families, a mistake is said with its line."""

from __future__ import annotations

import ipaddress
import json
import random
import time
from ipaddress import IPv4Network, IPv6Network

import pytest

from control.lbs.tables import Tables, parse_tables


def tables(*lines: tuple[str, str], **more: object) -> Tables:
    networks = [{"cidr": cidr, "zone": zone} for cidr, zone in lines]
    return parse_tables(json.dumps({"networks": networks, **more}).encode())


def zone(table: Tables, address: str) -> str | None:
    found = table.find(ipaddress.ip_address(address))
    return found[1].zone if found else None


def test_the_longest_prefix_counts_wherever_it_stands() -> None:
    table = tables(
        ("10.1.2.0/24", "street"), ("0.0.0.0/0", "world"), ("10.0.0.0/8", "land"), ("10.1.2.3/32", "door")
    )
    for address, expected in (
        ("10.1.2.3", "door"),
        ("10.1.2.4", "street"),
        ("10.9.9.9", "land"),
        ("192.0.2.1", "world"),
    ):
        assert zone(table, address) == expected
    assert zone(table, "2001:db8::1") is None
    assert table.find(ipaddress.ip_address("10.1.2.4")) == (1, table.lines[0])


def test_both_families_and_an_ipv4_address_written_as_ipv6() -> None:
    table = tables(
        ("2001:db8::/32", "six"), ("::/0", "any"), ("192.0.2.0/24", "four"), ("2001:db8::7", "host")
    )
    assert [
        zone(table, a) for a in ("2001:db8::1", "2001:db8::7", "::1", "192.0.2.9", "::ffff:192.0.2.9")
    ] == [
        "six",
        "host",
        "any",
        "four",
        "four",
    ]


def test_random_tables_agree_with_a_search_through_all_lines() -> None:
    seed = random.randrange(1 << 32)
    rng = random.Random(seed)
    lines: dict[str, IPv4Network | IPv6Network] = {}
    while len(lines) < 300:
        bits = rng.choice([32, 128])
        length = rng.randint(0, bits if rng.random() < 0.3 else 12)
        number = rng.getrandbits(bits) >> (bits - length) << (bits - length)
        network = ipaddress.ip_network((number, length))
        lines[str(network)] = network
    table = tables(*((name, f"z{at}") for at, name in enumerate(lines)))
    order = list(lines.values())
    for _ in range(500):
        address = (
            ipaddress.ip_address(rng.getrandbits(32))
            if rng.random() < 0.5
            else ipaddress.IPv6Address(rng.getrandbits(128))
        )
        holding = [at for at, network in enumerate(order) if address in network]
        best = max(holding, key=lambda at: order[at].prefixlen, default=None)
        assert zone(table, str(address)) == (None if best is None else f"z{best}"), seed


@pytest.mark.parametrize(
    ("document", "reason"),
    [
        (b"", "not JSON"),
        (b'{\n "networks": [\n  oops]}', "line 3 of the text"),
        (b"[]", "Expected `object`"),
        (b'{"networks": [], "zone": 1}', "unknown field `zone`"),
        (b'{"networks": [{"cidr": "10.0.0.0/8"}, {"cidr": 5}]}', "line 2 of networks, cidr"),
        (b'{"networks": [{"cidr": "10.0.0.0/8", "zon": "a"}]}', "line 1 of networks: Object contains"),
        (b'{"networks": [{"zone": "a"}]}', "line 1 of networks"),
        (b'{"networks": [{"cidr": "10.0.0.1/8"}]}', "did you mean 10.0.0.0/8"),
        (b'{"networks": [{"cidr": "10.0.0.0/33"}]}', "within 0 to 32"),
        (b'{"networks": [{"cidr": "10.0.0.0/-1"}]}', "within 0 to 32"),
        (b'{"networks": [{"cidr": "10.0.0/8"}]}', "no address"),
        (b'{"networks": [{"cidr": "::ffff:10.0.0.0/104"}]}', "an IPv4 network is written as one"),
        (b'{"networks": [{"cidr": "::/0"}, {"cidr": "::/0"}]}', "line 2 of networks, '::/0': the same"),
        (b'{"networks": [{"cidr": "10.0.0.0/8", "zone": "a b"}]}', "'a b' is no name"),
        (b'{"near": {"a": ["a"]}}', "near itself"),
        (b'{"near": {"a": ["b", "b"]}}', "twice"),
        (b'{"places": {"china": "a"}}', "a country as CN"),
        (b'{"carriers": {"4134": "ct"}}', "the number of an AS"),
        (b'{"carriers": {"AS4134": ""}}', "is not a name"),
        (b'{"networks": [{"cidr": "\xff"}]}', "not JSON"),
    ],
)  # fmt: skip
def test_a_mistake_is_refused_with_its_line_and_reason(document: bytes, reason: str) -> None:
    with pytest.raises(ValueError, match=r".") as refusal:
        parse_tables(document)
    assert reason in str(refusal.value)


def test_a_hundred_thousand_lines_load_in_well_below_a_second_and_answer_in_microseconds() -> None:
    rng = random.Random(7)
    cidrs = {f"{ipaddress.IPv4Address(rng.getrandbits(24) << 8)}/24" for _ in range(70_000)}
    cidrs |= {f"{ipaddress.IPv6Address(rng.getrandbits(48) << 80)}/48" for _ in range(40_000)}
    lines = [{"cidr": cidr, "zone": "east", "isp": "ct", "network": "mobile"} for cidr in sorted(cidrs)]
    assert len(lines) >= 100_000
    data = json.dumps({"networks": lines}).encode()
    begun = time.process_time()
    table = parse_tables(data)
    assert time.process_time() - begun < 1.0
    asked = [ipaddress.ip_address(rng.getrandbits(32)) for _ in range(10_000)]
    begun = time.process_time()
    for address in asked:
        table.find(address)
    assert time.process_time() - begun < 0.5, "50 us each would be too slow by far"
