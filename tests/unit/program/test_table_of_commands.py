"""The table of commands: a command loads what it is made of, and nothing is hidden by that."""

from __future__ import annotations

import subprocess
import sys

import pytest
from typer.testing import CliRunner

from program.cli.commands import BENCH, COMMANDS, program_of
from tests.support.other_programs import environment
from tests.support.tree import ROOT

LOADED = """
import atexit, sys
from program.cli import main
sys.argv = ["qianwan", *sys.argv[1:]]
ours = ("program.cli", "benchmarks")
atexit.register(lambda: print("LOADED", *sorted(name for name in sys.modules if name.startswith(ours))))
main()
"""


def run(*words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", LOADED, *words]
    return subprocess.run(command, cwd=ROOT, env=environment(), capture_output=True, text=True, timeout=60)


def test_a_command_loads_no_other() -> None:
    done = run("serve", "--listen")  # an option without its value: the command is read, and nothing started
    assert done.returncode == 2, done.stderr
    loaded = done.stdout.split("LOADED")[1].split()
    assert loaded == [f"program.cli{name}" for name in ("", ".commands", ".common", ".serve")]


def test_help_lists_every_command() -> None:
    done = run("--help")
    assert done.returncode == 0, done.stderr
    assert [name for name in (*COMMANDS, BENCH) if f" {name} " not in done.stdout] == []


def test_a_word_that_is_no_command_is_compared_with_all() -> None:
    done = run("seve")
    assert (done.returncode, "Did you mean 'serve'" in done.stderr) == (2, True), done.stderr


@pytest.mark.parametrize("name", COMMANDS)
def test_every_line_of_the_table_is_a_command(name: str) -> None:
    done = CliRunner().invoke(program_of([name]), [name, "--help"])
    assert (done.exit_code, "Usage: " in done.output) == (0, True), done.output
