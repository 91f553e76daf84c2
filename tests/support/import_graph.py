"""Who imports whom: every `import` and `cimport` line of the repository, wherever it stands.

Imports inside functions and under TYPE_CHECKING count like any other: a reader has to follow them too.
A `.pyx` and its `.pxd` and `.pyi` are one module.
"""

from __future__ import annotations

import ast
import functools
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from tests.support.tree import sources, text

SDK = ("sdk", "python")
WORD_MAX = 200
"""Longer strings name no module and no file."""
_CYTHON_FROM = re.compile(
    r"^[ \t]*from[ \t]+([\w.]+)[ \t]+c?import[ \t]+(\([^)]*\)|[^\n#\\]*(?:\\\n[^\n#\\]*)*)", re.MULTILINE
)
_CYTHON_IMPORT = re.compile(r"^[ \t]*c?import[ \t]+([\w., \t]+)", re.MULTILINE)
_NAME = re.compile(r"(\w+)(?:[ \t]+as[ \t]+\w+)?")

Graph = Mapping[str, frozenset[str]]


def module_of(path: Path) -> str:
    """Dotted name of a source file; a package is named without `__init__`."""
    parts = path.with_suffix("").parts
    parts = parts[len(SDK) :] if parts[: len(SDK)] == SDK else parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports(source: str, *, cython: bool = False) -> Iterator[tuple[str, str]]:
    """(module, name) of everything a source imports; name "" for a plain `import module`."""
    if cython:
        for origin, names in _CYTHON_FROM.findall(source):
            yield origin, ""
            yield from ((origin, name) for name in _NAME.findall(names))
        for names in _CYTHON_IMPORT.findall(source):
            yield from ((part.split(" as ")[0].strip(), "") for part in names.split(","))
        return
    yield from imports_of(ast.walk(ast.parse(source)))


def imports_of(nodes: Iterable[ast.AST]) -> Iterator[tuple[str, str]]:
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from ((alias.name, "") for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (("." * node.level + (node.module or ""), alias.name) for alias in node.names)


def words_in(nodes: Iterable[ast.AST]) -> set[str]:
    constants = (node.value for node in nodes if isinstance(node, ast.Constant))
    return {value for value in constants if isinstance(value, str)}


def run_as_programs(nodes: Iterable[ast.AST]) -> set[str]:
    """Packages of lists that hold `-m`: `[python, "-m", "program", ...]`."""
    lists = (words_in(node.elts) for node in nodes if isinstance(node, ast.List | ast.Tuple))
    return {f"{word}.__main__" for words in lists if "-m" in words for word in words}


class Read(NamedTuple):
    """What is asked of a source file; it is parsed once for all."""

    imports: tuple[tuple[str, str], ...]
    words: frozenset[str]
    programs: frozenset[str]


@functools.cache
def read(path: Path) -> Read:
    if path.suffix in (".pyx", ".pxd"):
        return Read(tuple(imports(text(path), cython=True)), frozenset(), frozenset())
    nodes = list(ast.walk(ast.parse(text(path))))
    short = frozenset(word for word in words_in(nodes) if len(word) < WORD_MAX)
    return Read(tuple(imports_of(nodes)), short, frozenset(run_as_programs(nodes)))


@functools.cache
def files() -> Mapping[str, tuple[Path, ...]]:
    """Module -> its files."""
    found: dict[str, tuple[Path, ...]] = {}
    for path in sources():
        module = module_of(path)
        found[module] = (*found.get(module, ()), path)
    return found


@functools.cache
def graph() -> Graph:
    """Module -> the modules of this repository that it imports."""
    known = files()
    return {module: frozenset(_targets(module, paths, known)) for module, paths in known.items()}


def _targets(module: str, paths: Iterable[Path], known: Iterable[str]) -> Iterator[str]:
    for path in paths:
        for origin, name in read(path).imports:
            target = f"{origin}.{name}" if f"{origin}.{name}" in known else origin
            if target in known and target != module:
                yield target


def circles(found: Graph) -> list[list[str]]:
    """The strongly connected parts of more than one module (Tarjan), each sorted."""
    order: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    parts: list[list[str]] = []

    def visit(node: str) -> None:
        order[node] = low[node] = len(order)
        stack.append(node)
        for target in sorted(found.get(node, ())):
            if target not in order:
                visit(target)
                low[node] = min(low[node], low[target])
            elif target in stack:
                low[node] = min(low[node], order[target])
        if low[node] == order[node]:
            part = stack[stack.index(node) :]
            del stack[stack.index(node) :]
            if len(part) > 1:
                parts.append(sorted(part))

    for node in sorted(found):
        if node not in order:
            visit(node)
    return parts


def reached(found: Graph, start: Iterable[str]) -> set[str]:
    """Every module that these import, or that those import, and so on; with the packages they lie in."""
    seen: set[str] = set()
    left = list(start)
    while left:
        module = left.pop()
        if module not in seen:
            seen.add(module)
            left += [*found.get(module, ()), *([module.rpartition(".")[0]] if "." in module else [])]
    return seen
