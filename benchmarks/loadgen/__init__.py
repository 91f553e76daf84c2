"""The swarm: tens of thousands of real clients in one process, in C, driven by its own epoll loop.

What each file holds: `histogram` latency in the layout of HdrHistogram; `stamp` who sent what when, inside
the text of a message; `delivery` exact counting of lost, reordered and duplicated messages; `sockets`
connecting and writing; `wires/` one protocol each (QW1 and the peers'); `swarm` the loop; `worker` one
process of it; `fleet` all processes together; `tokens` logins minted before a run.
"""

from __future__ import annotations

import importlib

from cmodules import same_build

WIRES = ("carriage", "message", "mqtt", "nats", "qw1", "websocket")
MODULES = (
    *("histogram", "stamp", "delivery", "sockets", "schedule", "swarm"),
    *(f"wires.{name}" for name in WIRES),
)

same_build(*(importlib.import_module(f"benchmarks.loadgen.{name}") for name in MODULES))
