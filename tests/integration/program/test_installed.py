"""What people install: wheels built from the sdist, in clean environments, with no compiler on the PATH."""

from __future__ import annotations

import subprocess
import sys
import venv
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.examples import EXPECTED, run_example
from tests.support.server_process import ROOT, ServerProcess
from tools import wheels


@dataclass(frozen=True)
class Environment:
    """A virtual environment, and the folder whose programs are the only ones to be found in it."""

    bin: Path

    def install(self, wheel: Path) -> None:
        command = [sys.executable, "-m", "pip", "--python", str(self.bin / "python"), "install", "-q"]
        command += ["--no-compile"]  # most of what comes along is never loaded here
        command += ["--disable-pip-version-check", "-c", str(ROOT / "constraints.txt"), str(wheel)]
        subprocess.run(command, check=True, timeout=250)

    def run(self, *words: str, timeout: float = 60) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [str(self.bin / words[0]), *words[1:]],
            cwd=self.bin.parent,
            env={"PATH": str(self.bin), "COLUMNS": "200"},
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )


def environment(folder: Path) -> Environment:
    venv.create(folder, with_pip=False, symlinks=True)
    return Environment(folder / "bin")


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return wheels.build(tmp_path_factory.mktemp("dist"))


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory, built: tuple[Path, Path]) -> Environment:
    made = environment(tmp_path_factory.mktemp("server"))
    made.install(built[0])
    return made


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, installed: Environment) -> Iterator[ServerProcess]:
    folder = tmp_path_factory.mktemp("data")
    with ServerProcess(folder, {"im.service.room_normal_per_s": 0}, installed=installed.bin) as running:
        yield running


def test_the_program_answers(installed: Environment) -> None:
    assert installed.run("qianwan", "--version").stdout.startswith("qianwan ")
    assert installed.run("qianwan", "bench", "--help").returncode == 0


def test_the_sdk_alone_runs_every_example_against_the_installed_server(
    tmp_path: Path, built: tuple[Path, Path], server: ServerProcess
) -> None:
    client = environment(tmp_path / "client")
    client.install(built[1])
    assert client.run("python", "-c", "import frame").returncode == 1, "the SDK stands alone"
    for name in EXPECTED:
        run_example(name, server, str(client.bin / "python"), PATH=str(client.bin), PYTHONPATH="")


def test_a_command_that_needs_the_client_says_so_in_one_line_and_runs_with_it(
    built: tuple[Path, Path], installed: Environment
) -> None:
    demo = ("qianwan", "demo", "--messages", "20", "--members", "12", "--broadcasts", "5")
    without = installed.run(*demo)
    assert without.returncode == 2
    assert without.stderr == "this command needs the client: install the wheel of qianwan-client too\n"
    installed.install(built[1])
    shown = installed.run(*demo, timeout=120)
    assert shown.returncode == 0, shown.stdout + shown.stderr
    loaded = installed.run("python", "-c", f"import {', '.join(sorted(_modules()))}")
    assert loaded.returncode == 0, loaded.stderr


def test_an_installation_without_migrations_refuses_to_start(
    installed: Environment, server: ServerProcess, tmp_path: Path
) -> None:
    (folder,) = installed.bin.parent.glob("lib/python*/site-packages/im_service/storage/migrations/sqlite")
    gone = folder.rename(folder.with_name("gone"))
    try:
        words = (
            "--http",
            "127.0.0.1:0",
            "--listen",
            "127.0.0.1:0",
            "--admin",
            "",
            "--data-dir",
            str(tmp_path),
        )
        refused = installed.run("qianwan", "serve", *words)
    finally:
        gone.rename(folder)
    assert refused.returncode == 3
    assert refused.stderr.splitlines()[-1].startswith("cannot start: no migrations in ")


def _modules() -> Iterator[str]:
    """Everything importable of the server but its tests and what needs the development extra."""
    for path in (ROOT / package for package in wheels.PACKAGES):
        for source in path.rglob("*.py*"):
            if source.suffix in {".py", ".pyx"} and source.stem not in {"__main__", "__init__"}:
                name = ".".join(source.relative_to(ROOT).with_suffix("").parts)
                if not source.name.startswith("test_") and not name.startswith("benchmarks.peers."):
                    yield name
