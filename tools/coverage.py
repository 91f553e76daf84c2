"""Line coverage of the Python code and of the C modules, measured in a copy of the tree, shown as two tables.

    python tools/coverage.py                                 every test
    python tools/coverage.py tests/native tests/unit/frame   only these
    python tools/coverage.py --missing control/streams ...   and the lines there that no test ran
    LANES=1 python tools/coverage.py ...                     one test after another

Python lines are counted by coverage.py in the tests' own process and in every one that they start; lines
of the modules by gcov, in a build of its own (build/coverage/tree). gcov speaks of the C that Cython wrote,
where a comment says which line of which file each piece came from. What a process counted is written when it
ends; one that is killed writes nothing. The tables are a mirror and no gate: a test that fails here and not
in `make test` measures memory or time, and counting takes both, so the exit code is 0 all the same.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import pytest
from rich.console import Console
from rich.table import Table

if __package__ in (None, ""):
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from tools.copied_tree import ROOT, build_modules, copy_tree

HOME = ROOT / "build" / "coverage"
TREE = HOME / "tree"
DATA = HOME / "data"
HOOK = HOME / "hook"
# Nothing that is installed elsewhere, or judges files as they are, is counted.
DEFAULT = ("tests", "--ignore=tests/architecture", "--ignore=tests/integration/program/test_installed.py")
PATIENCE_S = 1200
"""Of one test: counting is slow, and so are compilers under it."""
MARK = re.compile(r'\s*/\* "(.+)":(\d+)$')
SECTION = "/* #### Code section:"
RC = f"""\
[run]
data_file = {DATA}/python
parallel = true
patch = subprocess, _exit, fork
source = {TREE}
omit =
    {TREE}/tests/*
    {TREE}/build/*
    {TREE}/setup.py
[report]
include_namespace_packages = true
exclude_also =
    if TYPE_CHECKING:
    ^\\s*\\.\\.\\.$
"""
# gcov writes at exit(); a forked worker leaves by os._exit(), which runs no exit handler.
SITE = """\
import ctypes, os, sys
leave = os._exit
def write_and_leave(code):
    for module in list(sys.modules.values()):
        path = getattr(module, "__file__", None) or ""
        if path.startswith({tree!r}) and path.endswith(".so"):
            ctypes.CDLL(path).__gcov_dump()
    leave(code)
os._exit = write_and_leave
"""

Lines = dict[str, dict[int, bool]]  # file -> line -> whether it ran


def prepare() -> None:
    copy_tree(TREE)
    build_modules(TREE, "coverage")
    for counts in TREE.rglob("*.gcda"):
        counts.unlink()
    for folder in (DATA, HOOK):
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
    (HOME / "rc").write_text(RC)
    (HOOK / "sitecustomize.py").write_text(SITE.format(tree=str(TREE)))


def run_tests(arguments: Sequence[str]) -> int:
    """pytest in lanes, as `make test`, under coverage.py; returns its exit code."""
    env = {**os.environ, "PYTHONPATH": f"{HOOK}:{TREE}:{TREE / 'sdk' / 'python'}"}
    lanes = ("-n", os.environ.get("LANES", "4"), "--dist", "loadfile", "--no-loadscope-reorder")
    tool = [sys.executable, "-m", "coverage", "run", f"--rcfile={HOME / 'rc'}"]
    command = [*tool, "-m", "pytest", *lanes, f"--timeout={PATIENCE_S}", *arguments]
    return subprocess.run(command, cwd=TREE, env=env, check=False).returncode


def python_lines() -> Lines:
    """What coverage.py counted in all processes."""
    tool = [sys.executable, "-m", "coverage"]
    rc = f"--rcfile={HOME / 'rc'}"
    answer = HOME / "python.json"
    subprocess.run([*tool, "combine", "-q", rc], cwd=TREE, check=True)
    subprocess.run([*tool, "json", "-q", rc, "-o", str(answer)], cwd=TREE, check=True)
    files = json.loads(answer.read_text())["files"]
    return {
        name: dict.fromkeys(file["executed_lines"], True) | dict.fromkeys(file["missing_lines"], False)
        for name, file in files.items()
    }


def module_lines() -> Lines:
    """What gcov counted, as lines of the .pyx, .pxd and .h that the C came from."""
    notes = [str(path.relative_to(TREE)) for path in TREE.rglob("*.gcno")]
    command = ["gcov", "--json-format", "--stdout", *notes]
    answer = subprocess.run(command, cwd=TREE, check=True, capture_output=True, text=True)
    found: Lines = defaultdict(dict)
    for document in filter(None, answer.stdout.splitlines()):
        for file in json.loads(document)["files"]:
            name: str = file["file"]
            ran = {line["line_number"]: line["count"] > 0 for line in file["lines"]}
            if name.endswith(".c"):
                made_from = origins((TREE / name).read_text("utf-8"))
                places = [(made_from[number], hit) for number, hit in ran.items() if number in made_from]
            else:
                places = [((name, number), hit) for number, hit in ran.items()]
            for (origin, number), hit in places:
                found[origin][number] = found[origin].get(number, False) or hit
    return {name: lines for name, lines in found.items() if _ours(name)}


def _ours(name: str) -> bool:
    return not Path(name).is_absolute() and (ROOT / name).is_file()


def origins(source: str) -> dict[int, tuple[str, int]]:
    """Of C that Cython wrote: line of C -> file and line it was made from."""
    found: dict[int, tuple[str, int]] = {}
    origin: tuple[str, int] | None = None
    for number, text in enumerate(source.splitlines(), start=1):
        if mark := MARK.match(text):
            origin = mark[1], int(mark[2])
        elif text.startswith(SECTION):
            origin = None
        if origin:
            found[number] = origin
    return found


def table(title: str, first: str, rows: Mapping[str, Sequence[bool]]) -> Table:
    """One row for each name, and their sum."""
    shown = Table(title=title, title_justify="left")
    shown.add_column(first)
    for column in ("lines", "run", "%"):
        shown.add_column(column, justify="right")
    for name, lines in sorted(rows.items()):
        shown.add_row(name, *_numbers(lines))
    shown.add_section()
    shown.add_row("all", *_numbers([line for lines in rows.values() for line in lines]))
    return shown


def _numbers(lines: Sequence[bool]) -> tuple[str, str, str]:
    return f"{len(lines):,}", f"{sum(lines):,}", f"{100 * sum(lines) / len(lines):.1f}" if lines else "-"


def by_folder(files: Lines) -> dict[str, list[bool]]:
    rows: dict[str, list[bool]] = defaultdict(list)
    for name, lines in files.items():
        rows[str(Path(name).parent)].extend(lines.values())
    return {name: lines for name, lines in rows.items() if lines}


def missing(files: Lines) -> Iterator[str]:
    """`file: 3-7 12` for each file of which lines did not run."""
    for name, lines in sorted(files.items()):
        ranges: list[list[int]] = []
        before = True
        for number, ran in sorted(lines.items()):
            if not ran and before:
                ranges.append([number, number])
            elif not ran:
                ranges[-1][1] = number
            before = ran
        if ranges:
            yield f"{name}: {' '.join(str(a) if a == b else f'{a}-{b}' for a, b in ranges)}"


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("tests", nargs="*", default=DEFAULT, help="what pytest runs; default: every test")
    parser.add_argument(
        "--missing", metavar="PREFIX", help="also name lines that did not run, by files that begin so"
    )
    given = parser.parse_args()
    if not shutil.which("gcov"):
        raise SystemExit("missing: gcov, which comes with gcc; on Debian: apt-get install gcc")
    prepare()
    code = run_tests(given.tests)
    if code > pytest.ExitCode.TESTS_FAILED:
        return code
    python, modules = python_lines(), module_lines()
    console = Console()
    console.print(table("Python", "folder", by_folder(python)))
    console.print(table("C modules", "file", {name: list(lines.values()) for name, lines in modules.items()}))
    if given.missing is not None:
        chosen = {name: lines for name, lines in (python | modules).items() if name.startswith(given.missing)}
        print(*missing(chosen), sep="\n")
    if code:
        print("some tests failed: what they would have run is missing")
    return 0


if __name__ == "__main__":
    sys.exit(main())
