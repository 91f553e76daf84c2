"""The README's table is made from figures, row by row, and every command of it exists."""

from __future__ import annotations

import shlex

import pytest
from typer.testing import CliRunner

from benchmarks.cli.commands import app
from benchmarks.record import ROWS, markdown
from benchmarks.scenarios.context import Context
from tests.support.bench_figures import made_figure


def test_every_row_renders() -> None:
    more = {
        "per_server_core_per_s": 9_876.0,
        "memory_bytes": 2e9,
        "pongs": 5,
        "heartbeat_core_share": 0.0432,
        "half_rate": {"ack_latency_ms": {"p99": 12.0}},
        "ratios": {"nats": 4.56},
        "slow_readers": {"bytes_per_reader_max": 390_123, "limit_bytes": 393_216, "closed": 3},
    }
    table = markdown({name: {**made_figure(), **more} for name in ROWS})
    assert len(table.splitlines()) == 2 + len(ROWS)
    assert "9.88 k/s per server core" in table
    assert "4.6x nats" in table
    assert "at most 390 of 393 kB wait for a slow one, 3 closed" in table
    assert "heartbeats 4.3% of a core" in table


def test_figures_that_are_not_there_are_left_out() -> None:
    assert len(markdown({}).splitlines()) == 2


@pytest.mark.parametrize("name", ROWS)
def test_every_command_of_the_table_is_understood(name: str) -> None:
    command, *options = shlex.split(ROWS[name].words)
    shown = CliRunner().invoke(app, [command, "--help"], env={"COLUMNS": "200", "TERM": "dumb"})
    assert shown.exit_code == 0
    for word in options:
        assert not word.startswith("--") or word in shown.output


def test_the_recorded_command_leaves_out_where_the_json_went() -> None:
    context = Context(["fanout", "--json", "x y.json", "--members", "5"])
    assert context.command == "qianwan bench fanout --members 5"
