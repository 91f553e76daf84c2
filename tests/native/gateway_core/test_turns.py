"""Lengths of the loops' turns: every turn is counted, and a window's longest follows from two readings."""

from __future__ import annotations

import itertools

from prometheus_client import generate_latest

from benchmarks.figures import longest_turn
from benchmarks.servers import parse_metrics
from control.metrics import LONGEST_TURN, TURNS, Sources, longest_turn_s, make_registry
from tests.support.gateway_client import wait_for
from tests.support.gateway_harness import GatewayHarness


def test_every_turn_is_in_one_cell(gateway: GatewayHarness) -> None:
    client = gateway.login("ann")
    for _ in range(20):
        client.ping()
    stats = gateway.stats()
    counted = sum(stats["turns"].values())
    assert abs(counted - stats["ticks"]) <= 2 * stats["loops"], "a turn may end between two readings"
    assert 0 < stats["max_turn_ms"] <= stats["turns_sum_ms"]
    bounds = [bound for bound in stats["turns"] if bound != "over"]
    assert (bounds[0], bounds[-1], list(stats["turns"])[-1]) == (1 << 16, 1 << 32, "over")
    assert all(1 < above / below <= 1.25 for below, above in itertools.pairwise(bounds))


def test_the_longest_turn_of_a_window_forgets_what_was_before(gateway: GatewayHarness) -> None:
    registry = make_registry(Sources("n", ("gateway",), {"gateway_stats": gateway.stats}))

    def scrape() -> dict[str, float]:
        return parse_metrics(generate_latest(registry).decode())

    first = scrape()
    assert longest_turn(first, first) == 0.0
    client = gateway.login("ann")
    last = scrape()
    wait_for(lambda: client.ping() is not None and scrape()[f"{TURNS}_count"] > last[f"{TURNS}_count"])
    now = scrape()
    assert 0 < longest_turn(last, now) <= now[LONGEST_TURN]
    assert now[f"{TURNS}_sum"] > last[f"{TURNS}_sum"]


def test_the_longest_turn_is_a_bound_and_never_above_the_longest_ever() -> None:
    assert longest_turn_s({}, 0.5) == 0.0
    assert longest_turn_s({0.001: 0.0, 0.002: 0.0, float("inf"): 0.0}, 0.5) == 0.0
    assert longest_turn_s({0.001: 3.0, 0.002: 4.0, float("inf"): 4.0}, 0.5) == 0.002
    assert longest_turn_s({0.001: 3.0, 0.002: 4.0, float("inf"): 4.0}, 0.0017) == 0.0017
    assert longest_turn_s({0.001: 3.0, 0.002: 4.0, float("inf"): 5.0}, 7.0) == 7.0


def test_the_time_of_a_stage_never_falls(gateway: GatewayHarness) -> None:
    """Cycles become seconds by a rate that is known better and better: what was told stays told."""
    client = gateway.login("ann")
    before = gateway.gateway.stages()
    assert before["handshake"]["ns"] > 0
    for _ in range(300):
        client.ping()
        now = gateway.gateway.stages()
        assert all(now[stage]["ns"] >= before[stage]["ns"] for stage in now)
        before = now
