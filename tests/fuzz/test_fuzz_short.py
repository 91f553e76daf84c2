"""Every fuzz target builds under ASan and UBSan, takes its committed corpus and survives a short hunt.

`make fuzz` hunts longer. Without clang and libFuzzer these tests fail and say how to get them.
"""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from tools import fuzz, fuzz_python

SECONDS = 5


@pytest.fixture(scope="session")
def clang() -> str:
    try:
        return fuzz.compiler()
    except fuzz.FuzzError as error:
        pytest.fail(str(error))


@pytest.mark.slow
@pytest.mark.parametrize("name", fuzz.targets())
def test_a_target_survives_a_short_hunt(name: str, clang: str) -> None:
    assert any((fuzz.HOME / "corpus" / name).iterdir()), "a target starts from a committed corpus"
    done = fuzz.run(name, fuzz.build(name, clang), SECONDS)
    print(fuzz.summary(done.stderr))
    assert done.returncode == 0, done.stderr[-6000:]


@pytest.mark.slow
@pytest.mark.parametrize("name", fuzz.python_targets())
def test_a_target_in_python_survives_a_short_hunt(name: str) -> None:
    assert len(list((fuzz.HOME / "corpus" / name).iterdir())) > 3
    assert fuzz.fuzz_in_python(name, 1.0)


def test_a_hunt_finds_a_promise_that_does_not_hold_behind_a_branch() -> None:
    path = Path(__file__).parent.parent / "support" / "fuzzed_fault.py"
    found = fuzz_python.hunt(fuzz_python.load(path), [b"seed"], 20.0, random.Random(5))
    assert found.broken is not None
    data, how = found.broken
    assert data[:2] == b"QW"
    assert "a promise" in how


def test_a_missing_compiler_is_said_in_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert fuzz.main(["--seconds", "1"]) == 1
    assert capsys.readouterr().err == fuzz.MISSING + "\n"
