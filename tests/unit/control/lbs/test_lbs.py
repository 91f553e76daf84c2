"""Placement: close first, stable per device, spread over all, never a draining node."""

from __future__ import annotations

from collections import Counter

from control.coordination.base import NodeInfo
from control.lbs.placement import place
from control.rendezvous import choose, ranked


def gateway(number: int, zone: str = "z", isp: str = "", used: int = 0, draining: bool = False) -> NodeInfo:
    return NodeInfo(
        number, 1, f"gw{number}", ("gateway",), "127.0.0.1", 7000 + number, zone, isp, 1000, used, draining
    )


def names(nodes: list[NodeInfo]) -> list[str]:
    return [node.name for node in nodes]


def test_three_answers_when_there_are_three_and_all_there_are_otherwise() -> None:
    nodes = [gateway(number) for number in range(5)]
    assert len(place(nodes, "alice", "phone")) == 3
    assert len(place(nodes[:2], "alice", "phone")) == 2
    assert place([], "alice", "phone") == []


def test_a_device_gets_the_same_answer_again_whatever_the_order_of_the_list() -> None:
    nodes = [gateway(number) for number in range(8)]
    for user in ("alice", "bob", "carol"):
        assert place(nodes, user, "phone") == place(nodes[::-1], user, "phone")


def test_devices_spread_evenly_over_equal_nodes() -> None:
    nodes = [gateway(number) for number in range(8)]
    first = Counter(place(nodes, f"user{number}", "phone")[0].name for number in range(4000))
    assert len(first) == 8
    assert all(350 <= count <= 650 for count in first.values()), first


def test_the_least_loaded_node_does_not_get_everybody() -> None:
    nodes = [gateway(number, used=600) for number in range(7)] + [gateway(7, used=0)]
    first = Counter(place(nodes, f"user{number}", "phone")[0].name for number in range(4000))
    assert 0.2 < first["gw7"] / 4000 < 0.3, "two choices: about twice its fair share, not all of it"


def test_a_small_difference_in_load_moves_nobody() -> None:
    even = [gateway(number, used=100) for number in range(6)]
    uneven = [gateway(number, used=100 + 10 * number) for number in range(6)]
    for number in range(200):
        assert names(place(even, f"u{number}", "")) == names(place(uneven, f"u{number}", ""))


def test_zone_and_carrier_come_first() -> None:
    nodes = [gateway(1, "a", "x"), gateway(2, "a", "y"), gateway(3, "b", "x"), gateway(4, "b", "y")]
    for number in range(50):
        answer = names(place(nodes, f"u{number}", "", "a", "x", 4))
        assert answer == ["gw1", "gw2", "gw3", "gw4"]


def test_a_draining_node_gets_nothing_and_a_full_one_only_when_all_are_full() -> None:
    nodes = [gateway(1, draining=True), gateway(2, used=1000), gateway(3)]
    assert names(place(nodes, "alice", "")) == ["gw3"]
    assert names(place(nodes[:2], "alice", "")) == ["gw2"]
    assert place(nodes[:1], "alice", "") == []


def test_a_lost_node_moves_only_its_own_devices() -> None:
    nodes = [gateway(number) for number in range(6)]
    for number in range(300):
        before = place(nodes, f"u{number}", "")[0]
        after = place([node for node in nodes if node.name != "gw0"], f"u{number}", "")[0]
        assert before == after or before.name == "gw0"


def test_rendezvous_agrees_with_its_own_ranking_and_everyone_elses() -> None:
    hosts = [f"im{number}" for number in range(5)]
    for number in range(100):
        key = f"s/a:b{number}"
        assert choose(key, hosts) == ranked(key, hosts[::-1])[0]
    assert choose("x", []) is None
