"""Answers: signed by the root for one question, the right addresses of the right nodes, and why."""

from __future__ import annotations

import ipaddress
import json
from typing import NamedTuple

import pytest
from nacl.signing import SigningKey

from control.coordination.base import NodeInfo
from control.lbs.balancer import Answer, Balancer, Identity
from control.lbs.locate import Atlas
from control.lbs.sealed import Gateway, Question, Sealed, seal, unseal
from control.lbs.tables import Tables, parse_tables
from control.settings.lbs_section import LbsSection
from crypto.base64url import b64url_decode
from crypto.key_set import root_text

ROOT = SigningKey(bytes(range(32)))
ROOT_TEXT = root_text(bytes(ROOT.verify_key))
TABLES = {
    "networks": [
        {"cidr": "10.1.0.0/16", "zone": "east", "isp": "ct"},
        {"cidr": "10.2.0.0/16", "zone": "west", "isp": "cu", "network": "mobile"},
        {"cidr": "2001:db8::/32", "zone": "east"},
    ],
    "near": {"east": ["north", "west"]},
}


def node(number: int, zone: str = "", isp: str = "", *addresses: str, **more: object) -> NodeInfo:
    fields: dict[str, object] = {"host": f"192.0.2.{number}", "port": 7801, "capacity": 1000} | more
    return NodeInfo(number, 1, f"gw{number}", ("gateway",), zone=zone, isp=isp, addresses=addresses, **fields)


class Nodes(NamedTuple):
    """The part of Coordination that a balancer asks."""

    known: list[NodeInfo]

    def nodes(self, role: str | None = None) -> list[NodeInfo]:
        return self.known


def balancer(
    *nodes: NodeInfo, tables: Tables | None = None, at: float = 1_700_000_017.0, **settings: int
) -> Balancer:
    table = parse_tables(json.dumps(TABLES).encode()) if tables is None else tables
    identity = Identity(lambda: ROOT_TEXT, lambda data: ROOT.sign(data).signature, lambda: b"keys")
    return Balancer(
        LbsSection(**settings), Nodes(list(nodes)), identity, lambda: Atlas([("t", table)]), lambda: at
    )


def ask(one: Balancer, address: str | None = None, **question: str) -> Answer:
    return one.answer(Question(**question), ipaddress.ip_address(address) if address else None)


def names(answer: Answer) -> list[str]:
    return list(dict.fromkeys(gateway.node for gateway in answer.sealed.gateways))


def urls(answer: Answer) -> list[str]:
    return [f"{one.transport}://{one.host}:{one.port}{one.path or ''}" for one in answer.sealed.gateways]


def test_what_is_signed_is_what_is_answered_and_says_to_whom_and_for_how_long() -> None:
    one = balancer(node(1), node(2))
    answer = ask(one, user="alice", device="d", nonce="n1")
    sealed = unseal(b64url_decode(answer.signed), bytes(ROOT.verify_key))
    assert sealed == answer.sealed
    assert sealed.asked == Question(user="alice", device="d", nonce="n1")
    assert (sealed.issued_at, sealed.ttl_s, sealed.keep_s) == (1_700_000_017, 300, 604800)


def test_a_changed_bit_or_another_root_is_not_believed() -> None:
    data = b64url_decode(ask(balancer(node(1)), user="alice").signed)
    for at in range(0, len(data), 7):
        changed = bytearray(data)
        changed[at] ^= 4
        with pytest.raises(ValueError, match="not signed"):
            unseal(bytes(changed), bytes(ROOT.verify_key))
    with pytest.raises(ValueError, match="not signed"):
        unseal(data, bytes(SigningKey.generate().verify_key))
    with pytest.raises(ValueError, match="not an answer"):
        unseal(b"QWKS\x01{}" + ROOT.sign(b"QWKS\x01{}").signature, bytes(ROOT.verify_key))


def test_the_same_question_is_the_same_bytes_for_a_tenth_of_its_life() -> None:
    def at(second: float) -> Answer:
        return ask(balancer(node(1), at=1_700_000_010 + second), user="alice")

    assert at(0).signed == at(29).signed != at(30).signed
    assert 270 < at(29).left_s < at(0).left_s <= 300
    first = ask(balancer(node(1), at=1_700_000_011), user="alice", nonce="x").sealed
    assert first.issued_at == 1_700_000_011, "whoever sends a nonce wants to know the time"


def test_the_clients_zone_then_its_neighbours_in_their_order_then_the_rest() -> None:
    one = balancer(
        node(1, "south"),
        node(2, "west", "ct"),
        node(3, "west"),
        node(4, "north"),
        node(5, "east"),
        answers=16,
    )
    for number in range(20):
        found = names(ask(one, "10.1.2.3", device=f"d{number}"))
        assert found == ["gw5", "gw4", "gw2", "gw3", "gw1"]
    assert names(ask(one, "10.1.2.3", device="d", zone="south"))[0] == "gw1", "the client knows best"


def test_devices_spread_by_capacity() -> None:
    one = balancer(node(1, capacity=3000), node(2, capacity=1000))
    first = [names(ask(one, device=f"d{number}"))[0] for number in range(2000)]
    assert 0.70 < first.count("gw1") / 2000 < 0.80


def test_whoever_does_not_say_who_asks_is_not_sent_where_all_others_are() -> None:
    one = balancer(*(node(number) for number in range(1, 6)))
    assert len({names(ask(one))[0] for _ in range(200)}) == 5


def test_a_draining_node_a_full_one_and_one_of_another_root_are_left_out_and_explained() -> None:
    one = balancer(
        node(1),
        node(2, draining=True),
        node(3, connections=995),
        node(4, root="qwroot1.other"),
        node(5, host="", port=0),
    )
    assert names(ask(one, device="d")) == ["gw1"]
    why = one.explain(Question(device="d"), ipaddress.ip_address("10.1.2.3"))
    assert why.left_out == {
        "gw2": "drains",
        "gw3": "full: 995 of 1000",
        "gw4": "has another root key",
        "gw5": "has no address for tcp",
    }
    assert (why.zone, why.isp, why.near) == ("east", "ct", ["north", "west"])
    assert why.sources[0].source == "t, line 1: 10.1.0.0/16"
    assert [(one.node, one.why, one.answered) for one in why.nodes] == [("gw1", "another zone", True)]


def test_no_gateway_is_no_answer_and_nothing_is_signed() -> None:
    one = balancer(node(1, host="", port=0))
    answer = ask(one, device="d")
    assert (answer.sealed.gateways, answer.signed, one.unplaced) == ([], "", 1)


def test_drained_gateways_are_named_where_nobody_else_is_there_and_that_is_counted() -> None:
    """One was drained, and then the other one died: who comes is let in."""
    one = balancer(node(1, draining=True), node(2, draining=True), node(3, "", "", lapsed=True))
    assert sorted(names(ask(one, device="d"))) == ["gw1", "gw2"]
    assert one.unplaced == 1
    assert one.explain(Question(device="d"), None).left_out == {"gw3": "is listed by etcd no more"}
    for other in (node(4), node(4, connections=1000)):
        one = balancer(node(1, draining=True), other)
        assert (names(ask(one, device="d")), one.unplaced) == (["gw4"], 0)


def test_addresses_of_the_wanted_kind_with_their_paths() -> None:
    one = balancer(
        node(1, "", "", "wss://chat.example/deep/qw1", "ws://192.0.2.1:8080", "[2001:db8::1]:7801")
    )
    assert urls(ask(one, device="d")) == ["tcp://192.0.2.1:7801", "tcp://2001:db8::1:7801"]
    assert urls(ask(one, device="d", transport="ws")) == [
        "wss://chat.example:443/deep/qw1",
        "ws://192.0.2.1:8080/qw1",
    ]
    assert urls(ask(balancer(node(1)), device="d", transport="ws")) == ["ws://192.0.2.1:7801/qw1"]
    assert urls(ask(balancer(node(1, wss="proxy.example:443")), device="d", transport="ws")) == [
        "wss://proxy.example:443/qw1"
    ]


def test_a_client_gets_the_address_of_its_family_carrier_and_network_first() -> None:
    one = balancer(
        node(1, "", "", "[2001:db8::1]:7801", "198.51.100.1:7801;isp=cu", "198.51.100.2:7801;network=mobile")
    )
    assert urls(ask(one, "2001:db8::9", device="d"))[0] == "tcp://2001:db8::1:7801"
    assert urls(ask(one, "10.1.0.9", device="d"))[0] == "tcp://192.0.2.1:7801"
    assert urls(ask(one, "10.2.0.9", device="d"))[0] == "tcp://198.51.100.1:7801"
    assert urls(ask(one, device="d", network="mobile"))[0] == "tcp://198.51.100.2:7801"
    assert "tcp://2001:db8::1:7801" in urls(ask(one, "10.1.0.9", device="d")), "and one of the other family"


def test_a_node_counts_for_each_carrier_that_it_has_an_address_of() -> None:
    one = balancer(node(1), node(2, "", "", "198.51.100.1:7801;isp=cu"))
    assert {names(ask(one, "10.2.0.9", device=f"d{number}"))[0] for number in range(20)} == {"gw2"}


def test_nodes_behind_one_proxy_are_one_address_and_others_take_their_place() -> None:
    shared = [node(number, wss="proxy.example:443") for number in range(1, 5)]
    one = balancer(*shared, node(5, wss="other.example:443"), answers=2)
    told = {url for number in range(30) for url in urls(ask(one, device=f"d{number}", transport="ws"))}
    assert told == {"wss://proxy.example:443/qw1", "wss://other.example:443/qw1"}
    assert all(len(urls(ask(one, device=f"d{number}", transport="ws"))) == 2 for number in range(30))


def test_what_listens_everywhere_is_signed_without_a_host() -> None:
    """Or whoever asks could have a host of their own signed, by its name in the request."""
    assert ask(balancer(node(1, host="0.0.0.0")), device="d").sealed.gateways[0].host == ""


def test_a_lost_and_an_added_node_move_only_their_share() -> None:
    nodes = [node(number) for number in range(1, 9)]

    def first(known: list[NodeInfo]) -> list[str]:
        one = balancer(*known)
        return [names(ask(one, device=f"d{number}"))[0] for number in range(1000)]

    before, lost = first(nodes), first(nodes[1:])
    assert all(a == b or a == "gw1" for a, b in zip(before, lost, strict=True))
    added = first([*nodes, node(9)])
    assert all(a == b or b == "gw9" for a, b in zip(before, added, strict=True))
    assert 60 < added.count("gw9") < 170


def test_what_is_signed_byte_for_byte() -> None:
    sealed = Sealed(1, 2, 3, Question(device="d"), [Gateway("h", 1, "tcp", "n")], "k", [3])
    data = seal(lambda text: ROOT.sign(text).signature, sealed)
    assert data[:-64] == (
        b'QWLB\x01{"issued_at":1,"ttl_s":2,"keep_s":3,"for":{"device":"d"},'
        b'"gateways":[{"host":"h","port":1,"transport":"tcp","node":"n","path":null}],'
        b'"key_set":"k","suites":[3]}'
    )
