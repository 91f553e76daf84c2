"""Measurements and figures made up for tests of the benchmark's own arithmetic."""

from __future__ import annotations

from typing import Any

from benchmarks.figures import Figure, ServerReport, figure
from benchmarks.loadgen.fleet import Measured
from benchmarks.loadgen.histogram import Histogram


def histogram(value_us: int) -> Histogram:
    made = Histogram()
    for _ in range(100):
        made.record(value_us)
    return made


def measured(
    *, rate: float = 100.0, throughput: float | None = None, p99_us: int = 1000, **more: Any
) -> Measured:
    """A measurement in which everything went well except for what is named."""
    values: dict[str, Any] = {
        "seconds": 1.0, "offered_per_s": rate, "throughput_per_s": rate if throughput is None else throughput,
        "k_mean": 2.0, "sent": int(rate), "acked_per_s": rate, "lost": 0, "reordered": 0, "duplicated": 0,
        "foreign": 0, "refused": 0, "refusal_code": 0, "closed": 0, "delivery": histogram(p99_us),
        "ack": histogram(500), "lag": histogram(100), "turn": histogram(50), "cpu_s": [0.5, 0.4],
    }  # fmt: skip
    return Measured(**{**values, **more})


def made_figure(scenario: str = "fanout", *, load: Measured | None = None, **more: Any) -> Figure:
    """A figure as a scenario would write it."""
    report = ServerReport(1, 0.9, 50_000_000, 180.0, 1.5, {"seal": {"ms": 10.0, "count": 100.0}}, 0.8)
    return figure(
        scenario, f"qianwan bench {scenario}", connections=100, size=60, suite="aegis128l",
        measured=load or measured(), server=report, bound_ms=500.0, **more,
    )  # fmt: skip
