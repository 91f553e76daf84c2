"""Figures carry the keys that scripts rely on, and say when the generator was the limit."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks.figures import ServerReport, limits_of, median_of, stages, write_json
from benchmarks.machine import Busy, by_kind
from benchmarks.servers import Sample, parse_metrics
from tests.support.bench_figures import histogram, made_figure, measured

KEYS = {
    "scenario", "command", "connections", "size", "suite", "offered_per_s", "throughput_per_s", "k_mean",
    "latency_ms", "lost", "reordered", "duplicated", "generator_limited", "server", "machine", "commit",
}  # fmt: skip
SERVER_KEYS = {"processes", "cpu_s", "rss_bytes", "user_bytes_per_connection", "max_pause_ms", "stages"}


def test_the_keys_of_a_figure(tmp_path: Path) -> None:
    write_json(tmp_path / "deep" / "figure.json", made_figure())
    item = json.loads((tmp_path / "deep" / "figure.json").read_text())
    assert set(item) >= KEYS
    assert set(item["latency_ms"]) == {"p50", "p99", "p999", "max"}
    assert set(item["server"]) == SERVER_KEYS
    assert {"cpu", "cores", "memory_bytes", "kernel"} <= set(item["machine"])


@pytest.mark.parametrize(
    ("fault", "busy", "word"),
    [
        ({"cpu_s": [0.99, 0.2]}, 0.5, "whole core"),
        ({"lag": histogram(120_000)}, 0.5, "late"),
        ({"turn": histogram(200_000)}, 0.5, "turns"),
        ({"cpu_s": [0.9, 0.9]}, 0.99, "larger part"),
    ],
)
def test_a_generator_at_its_limit_is_named(fault: dict[str, Any], busy: float, word: str) -> None:
    reasons = limits_of(
        measured(**fault), ServerReport(cpu_s=0.9, machine_busy=busy, machine_used_s=2.0), 500.0
    )
    assert any(word in reason for reason in reasons)


def test_a_relaxed_generator_is_not_blamed() -> None:
    assert limits_of(measured(), ServerReport(cpu_s=1.0, machine_busy=0.99), 500.0) == []


def test_the_median_run_is_reported_with_all_throughputs() -> None:
    runs = [made_figure(load=measured(rate=rate)) for rate in (300.0, 100.0, 200.0)]
    middle = median_of(runs)
    assert middle["throughput_per_s"] == 200.0
    assert middle["runs"] == [300.0, 100.0, 200.0]


def test_stages_and_memory_are_differences_between_two_samples() -> None:
    text = (
        '# HELP x y\nqianwan_gateway_stage_seconds_total{stage="seal"} %s\n'
        'qianwan_gateway_stage_operations_total{stage="seal"} %s\nqianwan_gateway_longest_turn_seconds 0.5\n'
        'qianwan_gateway_turn_seconds_bucket{le="0.001"} %s\n'
        'qianwan_gateway_turn_seconds_bucket{le="0.004"} %s\n'
        'qianwan_gateway_turn_seconds_bucket{le="+Inf"} %s\n'
    )
    before, after = text % ("0.5", "10", 7, 7, 8), text % ("0.75", "1.1e2", 9, 10, 11)
    first = Sample(0.0, 0.9, 90, 80, Busy(1.0, 1.0), parse_metrics(before), done_at=0.5, done_cpu_s=1.0)
    last = Sample(1.0, 1.5, 900, 1080, Busy(2.0, 1.0), parse_metrics(after), done_at=1.5, done_cpu_s=1.7)
    report = ServerReport.between(first, last, empty_rss=80, connections=10)
    assert report.stages == {"seal": {"ms": 250.0, "count": 100.0}}
    assert (report.cpu_s, report.user_bytes_per_connection, report.max_pause_ms) == (0.5, 100.0, 4.0)
    assert (report.machine_busy, report.seconds) == (1.0, 0.5)
    assert stages({}, {}) == {}


def test_memory_of_a_process_is_told_by_kind() -> None:
    rows = (
        ("55d000000000-55d000010000 r-xp 00000000 08:01 7    /usr/bin/python3.11", 40),
        ("55d000020000-55d000090000 rw-p 00000000 00:00 0    [heap]", 100),
        ("7f0000000000-7f0000021000 rw-p 00000000 00:00 0", 20),
        ("7f0000021000-7f0004000000 ---p 00000000 00:00 0", 0),
        ("7f1234560000-7f1234760000 rw-p 00000000 00:00 0", 2000),
        ("7ffc00000000-7ffc00021000 rw-p 00000000 00:00 0    [stack]", 8),
    )
    smaps = "".join(f"{head}\nSize: 9000 kB\nRss: {rss} kB\nVmFlags: rd wr mr\n" for head, rss in rows)
    assert by_kind(smaps) == {"mapped": 2000 << 10, "heap": 100 << 10, "arenas": 20 << 10, "files": 48 << 10}
