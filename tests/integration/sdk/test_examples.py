"""Every example runs as its own program against a real server, says what it should, and stays short."""

from __future__ import annotations

import sys

import pytest

from tests.support.examples import EXAMPLES, EXPECTED, run_example
from tests.support.server_process import ROOT, ServerProcess


def test_every_example_is_run_and_short() -> None:
    assert {path.stem for path in EXAMPLES.glob("*.py")} == set(EXPECTED)
    for path in EXAMPLES.glob("*.py"):
        assert len(path.read_text().splitlines()) < 60, path


@pytest.mark.parametrize("name", [*sorted(EXPECTED), *sorted(EXPECTED, reverse=True)])
def test_each_runs_with_the_same_two_people_in_any_order_and_again(server: ServerProcess, name: str) -> None:
    run_example(name, server, sys.executable, PYTHONPATH=str(ROOT / "sdk" / "python"))
