"""Peers run under the same generator, and nothing of a small load is lost on the way."""

from __future__ import annotations

import pytest

from benchmarks.loadgen.fleet import Fleet, Load, Shape
from benchmarks.peers import PEERS


@pytest.mark.parametrize("name", ["nats", "uwebsockets"])
def test_a_peer_delivers_every_message_of_a_small_load(name: str) -> None:
    kind = PEERS[name]
    with kind() as peer:
        shape = Shape(gateways=peer.gateways, members=300, publishers=2, wire=kind.wire, processes=2)
        with Fleet(shape) as fleet:
            fleet.connect()
            fleet.join("hall")
            result = fleet.measure(Load(rate=100, seconds=1.0, warm_up_s=0.2, hold_ms=20), "hall")
    assert (result.lost, result.reordered, result.duplicated, result.foreign) == (0, 0, 0, 0)
    assert abs(result.sent - 120) <= 2  # the processes' schedules begin at different phases
    assert result.counters["tracked"] == result.sent * 300
    assert result.delivery.total == result.counters["sent_in_window"] * 300
    assert result.closed == 0


def test_a_peer_that_is_not_there_says_why() -> None:
    for kind in PEERS.values():
        reason = kind.missing()
        assert reason is None or "install" in reason
