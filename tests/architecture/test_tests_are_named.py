"""`tests/README.md` says where the tests of each folder are, and they do reach every module of it."""

from __future__ import annotations

import functools
import re
from pathlib import Path

import pytest

from tests.support.import_graph import files, graph, module_of, reached, read
from tests.support.tree import sources, text, tracked

PAGE = Path("tests/README.md")
ROW = re.compile(r"^\| `([\w/]+)` \| (.+) \|$", re.MULTILINE)
SOURCES = (".py", ".pyx", ".pxd", ".h")
# Loaded by name parts that are put together while running.
LOADED: dict[str, tuple[str, ...]] = {
    "tests/integration/control/test_endpoints.py": ("examples",),
    "tests/integration/sdk/test_examples.py": ("sdk/python/examples",),
    "tests/unit/tools/test_generate.py": ("tools/parts",),
}
# Run by `make` and by people on the whole repository.
RUN_BY_HAND = {
    "tools.sanitize",
    "tools.faults",
    "tools.faults_copy",
    "tools.instructions",
    "tools.picture",
    "tools.stubtest",
    "tools.make_noise_vectors",
    "tools.make_lbs_vectors",
    "tools.make_session_vectors",
}


@functools.cache
def table() -> dict[str, tuple[str, ...]]:
    """Folder -> paths of its tests, relative to the repository."""
    rows = ROW.findall(text(PAGE))
    assert len(rows) == len({folder for folder, _ in rows}), "a folder stands twice"
    return {
        folder: tuple("tests/" + name for name in re.findall(r"`([^`]+)`", cell)) for folder, cell in rows
    }


def test_the_table_names_every_source_folder() -> None:
    folders = {
        str(path.parent)
        for path in tracked()
        if path.suffix in SOURCES and len(path.parts) > 1 and path.parts[0] != "tests"
    }
    assert set(table()) == folders, f"{PAGE}: {sorted(set(table()) ^ folders)}"
    assert list(table()) == sorted(table()), f"{PAGE}: in order"


def test_every_folder_of_tests_stands_in_the_table() -> None:
    named = {name for names in table().values() for name in names}
    folders = {
        path.parent for path in tracked() if path.parts[0] == "tests" and path.name.startswith("test_")
    }
    lost = [
        str(folder)
        for folder in sorted(folders)
        if not any(name.startswith(str(folder)) or str(folder).startswith(name) for name in named)
    ]
    assert not lost, f"{PAGE} does not name {lost}"


def files_below(name: str) -> list[Path]:
    """The test files of a path and their conftest files, those of the folders above too; not that of all
    tests, which sets up the run and would lend everybody what it uses.
    """
    path = Path(name)
    found = [p for p in sources("tests") if p == path or path in p.parents]
    conftests = [p for p in sources("tests") if p.name == "conftest.py" and p.parent != Path("tests")]
    above = [p for p in conftests if p.parent in path.parents]
    return [*found, *above]


def started(module: str) -> set[str]:
    """Modules that a module names in a string to load or start them: by dotted name, `-m package`, file or
    folder.
    """
    found: set[str] = set()
    for path in files()[module]:
        folders = set(LOADED.get(str(path), ()))
        if path.suffix == ".py":
            for word in read(path).words:
                found |= {word}
                found |= {f"{module.rpartition('.')[0]}.{word.removesuffix('.py')}"}
                folders |= {word} if "/" in word else set()
            found |= read(path).programs
        for folder in folders & modules_by_folder().keys():
            found |= modules_by_folder()[folder]
    return found & files().keys()


@functools.cache
def modules_by_folder() -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for path in sources():
        found.setdefault(str(path.parent), set()).add(module_of(path))
    return found


@functools.cache
def uses() -> dict[str, frozenset[str]]:
    """Module -> what it imports, loads or starts."""
    return {module: imported | started(module) for module, imported in graph().items()}


@functools.cache
def seen_from(name: str) -> set[str]:
    """Every module that the tests of a path use, and that those use."""
    return reached(uses(), {module_of(path) for path in files_below(name)})


@pytest.mark.parametrize("folder", sorted(table()))
def test_the_named_tests_are_there_and_reach_every_module(folder: str) -> None:
    names = table()[folder]
    for name in names:
        assert any(path.name.startswith("test_") for path in files_below(name)), f"{name} holds no test"
    seen = set().union(*(seen_from(name) for name in names))
    modules = modules_by_folder().get(folder, set())  # none where only headers are
    untested = sorted(modules - seen - RUN_BY_HAND)
    assert not untested, f"{PAGE}: the tests of {folder} never reach {', '.join(untested)}"


def test_a_module_without_a_test_is_found() -> None:
    assert "control.keys.keystore" in seen_from("tests/unit/control/keys")
    assert "control.workers.supervisor" not in seen_from("tests/unit/control/keys")
