"""All generator processes together: start them, connect, join, measure, add up.

with Fleet(shape) as fleet:
    fleet.connect(window=64)
    fleet.join("r/hall")
    result = fleet.measure(Load(rate=100, seconds=10), "r/hall")
"""

from __future__ import annotations

from benchmarks.loadgen.fleet.coordinator import Fleet
from benchmarks.loadgen.fleet.shape import (
    CLIENTS_PER_PROCESS,
    Counters,
    FleetError,
    Load,
    Measured,
    Progress,
    Shape,
    shares,
)
from benchmarks.loadgen.fleet.tokens import LIFE_S, TokenMint

__all__ = [
    "CLIENTS_PER_PROCESS",
    "LIFE_S",
    "Counters",
    "Fleet",
    "FleetError",
    "Load",
    "Measured",
    "Progress",
    "Shape",
    "TokenMint",
    "shares",
]
