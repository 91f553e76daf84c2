"""The metrics of the gateway core, in docs/OPERATIONS.md."""

from __future__ import annotations

from pathlib import Path

from control.metrics import GATEWAY_COUNTERS, GATEWAY_LIVE
from tools.parts.made import Made, markdown


def metrics_table() -> str:
    counters = [(f"`qianwan_gateway_{name}_total`", text) for name, text in GATEWAY_COUNTERS.items()]
    gauges = [(f"`qianwan_gateway_{name}`", f"{text} (gauge)") for name, text in GATEWAY_LIVE.items()]
    return markdown(["metric", "meaning"], counters + gauges)


def make(root: Path) -> Made:
    return Made({}, {"docs/OPERATIONS.md": {"gateway-metrics": metrics_table()}})
