"""Micro benchmarks: `pytest benchmarks/micro`. Each group holds ours and the alternatives."""
