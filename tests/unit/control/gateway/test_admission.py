"""What settings, an operator and the overload ladder say together of who is let in."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from control.api.admin.storms import StormWanted
from control.gateway.admission import Admission, StormOrder
from control.settings.build import SettingsError, build
from control.settings.storms import AdmissionSection


class Core:
    def __init__(self) -> None:
        self.said: list[tuple[float, ...]] = []

    def admit(self, *words: Any) -> None:
        self.said.append(words)


def admission(share: float = 0.5, **settings: float) -> tuple[Admission, Core]:
    core = Core()
    made = Admission(core, AdmissionSection(**settings), lambda: share)
    made.start()
    return made, core


def test_the_settings_hold_when_nobody_orders_anything() -> None:
    _, core = admission(new_per_s=100, known_per_s=1000, burst_s=2, retry_least_s=0.5, retry_most_s=30)
    assert core.said == [(100, 1000, 2, 0, 500, 30_000)]


def test_other_settings_hold_at_once_beside_what_is_ordered() -> None:
    made, core = admission(new_per_s=100, known_per_s=1000)
    made.apply(StormOrder(new_per_s=7))
    made.set(AdmissionSection(new_per_s=50, known_per_s=500, burst_s=3, retry_least_s=2, retry_most_s=40))
    made.apply(None)
    assert core.said[1:] == [
        (7, 1000, 1, 0, 1000, 60_000), (7, 500, 3, 0, 2000, 40_000), (50, 500, 3, 0, 2000, 40_000),
    ]  # fmt: skip


def test_nothing_is_said_before_the_core_runs_and_nothing_twice() -> None:
    core = Core()
    made = Admission(core, AdmissionSection(), lambda: 1.0)
    made.apply(StormOrder(new_per_s=5))
    assert core.said == []
    made.start()
    made.tick()
    made.apply(StormOrder(new_per_s=5))
    assert [said[:4] for said in core.said] == [(5, 0, 1, 0)]


def test_an_order_for_the_node_stands_in_for_its_settings_until_it_is_withdrawn() -> None:
    made, core = admission(new_per_s=100, known_per_s=1000)
    made.apply(StormOrder(new_per_s=7, admit="known"))
    made.apply(StormOrder(new_per_s=0))
    made.apply(None)
    assert [said[:4] for said in core.said] == [
        (100, 1000, 1, 0),
        (7, 1000, 1, 1),
        (0, 1000, 1, 0),
        (100, 1000, 1, 0),
    ]


def test_the_cluster_has_its_share_here_and_the_lower_rate_holds() -> None:
    made, core = admission(share=0.25, new_per_s=100)
    made.apply_cluster(StormOrder(new_per_s=1000, known_per_s=2000))
    assert core.said[-1][:2] == (100, 500)
    made.apply_cluster(StormOrder(new_per_s=100))
    assert core.said[-1][:2] == (25, 0)
    made.apply(StormOrder(new_per_s=10))
    assert core.said[-1][:2] == (10, 0)


def test_the_share_follows_the_gateways() -> None:
    shares = [1.0]
    core = Core()
    made = Admission(core, AdmissionSection(), lambda: shares[0])
    made.start()
    made.apply_cluster(StormOrder(known_per_s=1000))
    shares[0] = 0.5
    made.tick()
    assert [said[1] for said in core.said] == [0, 1000, 500]


def test_the_door_that_is_shut_more_holds() -> None:
    made, core = admission()
    made.hold("known")
    made.apply_cluster(StormOrder(admit="none"))
    made.hold("all")
    made.apply(StormOrder(admit="known"))
    made.apply_cluster(None)
    made.apply(None)
    assert [said[3] for said in core.said] == [0, 1, 2, 1, 0]


@pytest.mark.parametrize(
    "text",
    ['{"new_per_s": -1}', '{"admit": "some"}', '{"rate": 1}', '{"new_per_s": "1"}', '{"new_per_s": 1e9}'],
)
def test_an_order_that_cannot_be_is_refused(text: str) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.json.decode(text, type=StormOrder)


def test_an_order_is_json_both_ways() -> None:
    order = StormOrder(new_per_s=2.5, admit="known")
    assert msgspec.json.decode(msgspec.json.encode(order), type=StormOrder) == order


@pytest.mark.parametrize("text", ['{"new_per_s": 1e-300}', '{"known_per_s": 0.0009}', '{"new_per_s": -1}'])
def test_a_rate_near_zero_is_refused_wherever_it_is_said(text: str) -> None:
    for kind in (StormOrder, StormWanted):
        with pytest.raises(msgspec.ValidationError):
            msgspec.json.decode(text, type=kind)
        assert msgspec.json.decode('{"new_per_s": 0.001, "known_per_s": 0}', type=kind).new_per_s == 0.001
    trees: list[dict[str, Any]] = [
        {"gateway": {"admission": {"new_per_s": 1e-9}}},
        {"limits": {"user_logins_per_s": 1e-9}},
        {"limits": {"api_requests_per_s": 0.5}},
        {"gateway": {"leaving": {"per_s": 1e-9}}},
    ]
    for tree in trees:
        with pytest.raises(SettingsError, match=r"at least|>="):
            build(tree)
