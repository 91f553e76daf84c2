"""How a comparison chooses among what it measured of one peer."""

from __future__ import annotations

from typing import Any

import pytest

from benchmarks.peers import Peer
from benchmarks.scenarios import compare
from benchmarks.scenarios.context import Context
from benchmarks.scenarios.fanout import FanoutOptions

KNEES = [
    # (msg/s, deliveries/s, confirmed) of publishers that write at once, of those that hold -> the chosen
    ([(80.0, 400_000.0, True), (90.0, 450_000.0, True)], 1),
    ([(80.0, 400_000.0, True), (90.0, 450_000.0, False)], 0),
    ([(80.0, 400_000.0, True), (70.0, 350_000.0, True)], 0),
]


@pytest.mark.parametrize(("knees", "chosen"), KNEES)
def test_the_best_confirmed_batching_stands(
    knees: list[tuple[float, float, bool]], chosen: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    starts: list[float] = []

    def searched(
        context: Context, options: FanoutOptions, name: str, kind: type[Peer], start: float
    ) -> dict[str, Any]:
        rate, throughput, passed = knees[len(starts)]
        starts.append(start)
        return {"hold_ms": options.hold_ms, "rate": rate, "throughput_per_s": throughput, "passed": passed}

    monkeypatch.setattr(compare, "_searched", searched)
    best = compare.run_peer(Context([], quiet=True), FanoutOptions(members=5000), "a peer", Peer)
    assert best["hold_ms"] == compare.HOLDS_MS[chosen]
    assert starts == [5.0, knees[0][0] / 2]
