"""What `make shipped` refuses: a program that does not start, says nothing of itself, or is not there."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tools import deb, shipped

VERSION = "import sys\nif '--version' in sys.argv: print('qianwan 0.1.0'); sys.exit()\n"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("print('hello')", "--version: hello"),
        ("raise SystemExit('no such module')", "no such module"),
        (VERSION + "raise SystemExit('cannot start: no migrations')", "cannot start: no migrations"),
    ],
)
def test_a_program_that_does_not_run_is_refused_with_what_it_said(
    tmp_path: Path, text: str, words: str
) -> None:
    program = tmp_path / "qianwan"
    program.write_text(text)
    with pytest.raises(shipped.DoesNotRun, match=words):
        shipped.check([sys.executable, str(program)], tmp_path)


def test_a_folder_without_a_package_is_refused(tmp_path: Path) -> None:
    with pytest.raises(shipped.DoesNotRun, match=r"no qianwan_\*.deb"):
        shipped.package(tmp_path, tmp_path)


def test_no_package_is_made_with_modules_that_its_python_cannot_load() -> None:
    deb.same_python("3.11", (3, 11))
    with pytest.raises(deb.OtherPython, match=r"is Python 3.13, the modules were built for 3.11"):
        deb.same_python("3.13", (3, 11))
