"""One generator for every generated file: what it writes where, and what it refuses."""

from __future__ import annotations

import ast
import re
import subprocess
import sys

import pytest

from tests.support.tree import FLOORS, ROOT, sources
from tools import generate

PAGE = (
    "head\n<!-- generated:one -->\nold\n<!-- /generated -->\nmiddle\n"
    "<!-- generated:a-two -->\n<!-- /generated -->\n"
)


def test_tables_go_between_their_marks() -> None:
    filled = generate.fill("page", PAGE, {"one": "\n| 1 |\n", "a-two": "| 2 |"})
    assert filled == (
        "head\n<!-- generated:one -->\n| 1 |\n<!-- /generated -->\nmiddle\n"
        "<!-- generated:a-two -->\n| 2 |\n<!-- /generated -->\n"
    )
    assert generate.fill("page", filled, {"one": "| 1 |", "a-two": "| 2 |"}) == filled


def test_lines_of_code_go_between_their_marks_as_far_in_as_these() -> None:
    code = "struct S:\n    # generated:one\n    old\n    # /generated\n    rest\n"
    filled = generate.fill("code", code, {"one": "int a\nint b\n"})
    assert filled == "struct S:\n    # generated:one\n    int a\n    int b\n    # /generated\n    rest\n"


def test_a_table_without_its_marks_is_an_error() -> None:
    with pytest.raises(SystemExit, match="page: no place for three"):
        generate.fill("page", PAGE, {"one": "", "a-two": "", "three": ""})


def test_marks_that_nothing_fills_are_an_error_unless_a_part_runs_alone() -> None:
    with pytest.raises(SystemExit, match="page: nothing is called a-two; there are one"):
        generate.fill("page", PAGE, {"one": ""})
    assert "| 1 |" in generate.fill("page", PAGE, {"one": "| 1 |"}, whole=False)


def test_every_marked_table_of_the_repository_is_written_by_the_generator() -> None:
    written = {path.relative_to(ROOT).as_posix() for path in generate.generate(ROOT)}
    code = [ROOT / path for path in sources(*FLOORS, suffixes=(".py", ".pyx", ".pxd"))]
    marked = {
        page.relative_to(ROOT).as_posix()
        for page in [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("sdk/**/*.md"), *code]
        if re.search(r"^ *(<!--|#) generated:", page.read_text(), re.MULTILINE)
    }
    assert marked
    assert marked <= written


def test_every_part_is_run() -> None:
    modules = {path.stem for path in (ROOT / "tools/parts").glob("*.py")} - {"__init__", "made"}
    assert modules == set(generate.PARTS)


def test_constants_are_written_before_anything_is_installed() -> None:
    """The part `protocol` loads modules of the standard library and of the generator, and nothing else."""
    code = (
        "import sys; sys.path.insert(0, '.'); before = set(sys.modules); from tools import generate\n"
        "assert generate.main(['protocol', '--check']) == 0\n"
        "print(sorted({name.split('.')[0] for name in set(sys.modules) - before}))"
    )
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", code], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    loaded = set(ast.literal_eval(done.stdout.splitlines()[-1]))
    assert loaded - set(sys.stdlib_module_names) == {"tools"}


def test_lint_and_generate_run_the_same_list() -> None:
    makefile = (ROOT / "Makefile").read_text()
    lint = makefile.split("\nlint:", 1)[1].split("\n\n", 1)[0]
    check = makefile.split("\nlint-generated:", 1)[1].split("\nlint-", 1)[0]
    write = makefile.split("\ngenerate:", 1)[1].split("\n\n", 1)[0]
    assert "lint-generated" in lint
    assert check.rstrip().endswith("tools/generate.py --check")
    assert write.rstrip().endswith("tools/generate.py")
