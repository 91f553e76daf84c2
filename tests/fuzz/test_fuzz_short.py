"""Every fuzz target builds under ASan and UBSan, takes its committed corpus and survives a short hunt.

`make fuzz` hunts longer. Without clang and libFuzzer these tests fail and say how to get them.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tools import fuzz

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


def test_a_missing_compiler_is_said_in_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert fuzz.main(["--seconds", "1"]) == 1
    assert capsys.readouterr().err == fuzz.MISSING + "\n"
