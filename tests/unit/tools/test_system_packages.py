"""The list of system packages: what is missing is named in one line, or installed by root on a Debian."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.tree import ROOT

USED = (
    "sh",
    "dirname",
    "cat",
    "ls",
    "tr",
    "sort",
    "sed",
    "mktemp",
    "rm",
    "chmod",
    "cc",
    "git",
    "etcd",
    "etcdctl",
    "systemd-analyze",
    "promtool",
    "node",
    "chromium",
)


@pytest.fixture
def machine(tmp_path: Path) -> Path:
    """A folder of programs as the only PATH: all is there but clang."""
    for name in USED:
        if found := shutil.which(name):
            (tmp_path / name).symlink_to(found)
    (tmp_path / "python3").symlink_to(sys.executable)
    return tmp_path


def program(machine: Path, name: str, text: str) -> None:
    path = machine / name
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)


def ask(machine: Path) -> subprocess.CompletedProcess[str]:
    command = [str(ROOT / "tools" / "system_packages.sh"), "build", "test"]
    return subprocess.run(
        command, env={"PATH": str(machine)}, capture_output=True, text=True, timeout=30, check=False
    )


def test_who_is_not_root_is_told_in_one_line_what_is_missing(machine: Path) -> None:
    program(machine, "id", "echo 1000")
    told = ask(machine)
    assert told.returncode == 1
    assert told.stderr == (
        "missing: clang libclang-rt-dev (as Debian names them: apt-get install these as root)\n"
    )


def test_root_on_a_debian_gets_what_is_missing_and_nothing_when_all_is_there(machine: Path) -> None:
    program(machine, "id", "echo 0")
    program(machine, "apt-get", f'echo "$@" >>{machine}/asked\n: >{machine}/clang; chmod 755 {machine}/clang')
    assert ask(machine).returncode == 0
    asked = (machine / "asked").read_text().splitlines()
    assert asked[0].split()[0] == "update"
    assert asked[1].endswith(" clang libclang-rt-dev")
    (machine / "asked").unlink()
    assert ask(machine).stdout == ""
    assert not (machine / "asked").exists()


def test_a_package_that_brings_nothing_is_told(machine: Path) -> None:
    program(machine, "id", "echo 0")
    program(machine, "apt-get", "exit 0")
    told = ask(machine)
    assert told.returncode == 1
    assert told.stderr.startswith("installed, but not found: clang")


def test_nothing_else_installs_system_packages() -> None:
    for path in (ROOT / ".ci" / "run", ROOT / "Makefile"):
        assert "apt" not in path.read_text(), path
