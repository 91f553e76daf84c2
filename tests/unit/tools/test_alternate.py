"""Two checkouts take turns, each with its own modules, and the ratio is that of the medians."""

from __future__ import annotations

from pathlib import Path

import pytest

from tools import alternate

PROGRAM = """
import json, sys, pathlib, here
def main():
    log = pathlib.Path("{log}")
    log.write_text(log.read_text() + here.NAME)
    turn = log.read_text().count(here.NAME)
    report = {{"throughput_per_s": here.SPEED * turn, "seconds": 2.0, "latency_ms": {{"p99": 5.0}},
              "server": {{"cpu_s": 1e-6 * here.SPEED * turn}}}}
    assert sys.argv[1:4] == ["bench", "relay", "--core"], sys.argv
    pathlib.Path(sys.argv[sys.argv.index("--json") + 1]).write_text(json.dumps(report))
"""


def checkout(folder: Path, log: Path, name: str, speed: int) -> Path:
    folder.mkdir()
    (folder / "pyproject.toml").write_text('[project.scripts]\nqianwan = "program:main"\n')
    (folder / "program.py").write_text(PROGRAM.format(log=log))
    (folder / "here.py").write_text(f"NAME, SPEED = {name!r}, {speed}\n")
    return folder


def test_checkouts_take_turns_and_medians_are_compared(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = tmp_path / "log"
    log.write_text("")
    other = checkout(tmp_path / "before", log, "b", 100)
    monkeypatch.setattr(alternate, "ROOT", checkout(tmp_path / "after", log, "a", 150))
    rows = alternate.alternate(other, 3, ["relay", "--core"])
    assert log.read_text() == "baabba"
    assert rows[0] == ("messages a second", 200.0, 300.0)
    assert rows[2][1:] == (pytest.approx(500.0), pytest.approx(500.0))


def test_a_run_that_fails_says_why(tmp_path: Path) -> None:
    broken = checkout(tmp_path / "broken", tmp_path / "no" / "log", "x", 1)
    with pytest.raises(RuntimeError, match=r"broken: [\s\S]*FileNotFoundError"):
        alternate.bench(broken, ["relay", "--core"])
