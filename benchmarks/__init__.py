"""Load generator, scenarios, peers and micro benchmarks: `qianwan bench` (see docs/PERFORMANCE.md)."""
