"""A test that gives up says so: a bare `return` hangs on its case, or stands under `untested_here(...)`."""

from __future__ import annotations

import ast
from collections.abc import Iterator

import pytest

from tests.support.tree import ROOT
from tests.support.untested import UntestedHere, untested_here

TESTS = sorted((ROOT / "tests").rglob("test_*.py"))
Function = ast.FunctionDef | ast.AsyncFunctionDef


def asks(test: ast.expr) -> bool:
    return any(
        isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "untested_here"
        for node in ast.walk(test)
    )


def of_its_case(test: ast.expr, names: set[str]) -> bool:
    """It looks at parameters: other cases go on."""
    return any(isinstance(node, ast.Name) and node.id in names for node in ast.walk(test))


def silent(node: ast.AST, names: set[str]) -> Iterator[int]:
    """Lines of bare returns of this function, not of those inside it. `names`: its parameters."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, Function | ast.Lambda | ast.ClassDef):
            continue
        if isinstance(child, ast.If) and (asks(child.test) or of_its_case(child.test, names)):
            continue
        if isinstance(child, ast.Return) and child.value is None:
            yield child.lineno
        yield from silent(child, names)


def given_up(source: str) -> list[int]:
    functions = [node for node in ast.walk(ast.parse(source)) if isinstance(node, Function)]
    return [
        line
        for function in functions
        if function.name.startswith("test_")
        for line in silent(function, {arg.arg for arg in function.args.args})
    ]


def test_no_test_gives_up_in_silence() -> None:
    found = {str(path.relative_to(ROOT)): given_up(path.read_text()) for path in TESTS}
    assert {path: lines for path, lines in found.items() if lines} == {}


@pytest.mark.parametrize(
    ("body", "lines"),
    [
        ("if not allowed():\n        return", [3]),
        ("if untested_here(why()):\n        return", []),
        ("def inner():\n        return\n    inner()", []),
        ("return", [2]),
        ("if not case.is_good:\n        return", []),
        ("with x:\n        if y:\n            return", [4]),
    ],
)
def test_a_silent_return_is_found(body: str, lines: list[int]) -> None:
    assert given_up(f"def test_x(case):\n    {body}\n") == lines


def test_a_reason_is_told_and_none_is_no_reason() -> None:
    assert not untested_here("")
    with pytest.warns(UntestedHere, match="not tested on this machine: no namespaces"):
        assert untested_here("no namespaces")
