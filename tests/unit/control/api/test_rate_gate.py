"""What one API key may ask, also when it was less a moment ago."""

from __future__ import annotations

from control.api.rate_gate import RateGate


def test_a_burst_and_then_the_rate() -> None:
    gate = RateGate(2, 3)
    assert [gate.take("k", 100.0) for _ in range(4)] == [0.0, 0.0, 0.0, 0.5]
    assert gate.take("other", 100.0) == 0.0
    assert gate.take("k", 100.5) == 0.0


def test_debts_of_a_slower_rate_are_not_carried_over() -> None:
    gate = RateGate(0.001, 1)
    assert (gate.take("k", 100.0), round(gate.take("k", 101.0))) == (0.0, 999)
    gate.set(2000, 4000)
    assert gate.take("k", 101.0) <= 0.001
    assert gate.take("k", 101.1) == 0.0
    assert gate.take("k", 101.1) == 0.0, "as after a whole burst"
