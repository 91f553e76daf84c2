"""A path that a page, a docstring or a comment names is there.

A path may be short: `engine/commands.pyx` names the file that ends so, `crypto/aead` the module of any
suffix, `docs/decisions/0013` the page that begins so.
"""

from __future__ import annotations

import ast
import functools
import io
import os
import re
import tokenize
from pathlib import Path

from tests.support.tree import every, text, tracked

OURS = r"py|pyx|pxd|pyi|h|md|toml|sql|sh|js"
WORD = re.compile(
    rf"(?<![\w./~<>{{}}$*-])((?:\.\./)*(?:[\w.-]+/)+(?:[\w.-]+)?|[\w-]+\.(?:{OURS}))(?![\w/*{{<-])"
)
FOLDER = re.compile(r"`([\w-]{2,}(?:/[\w-]+)*)/`")
PLACEHOLDER = re.compile(r"NAME|NNNN|^\./")
# Headers of other projects, and folders that a running server or a build makes.
FOREIGN = {"malloc.h", "qianwan-data", "build", "dist", ".venv"}
GONE = {"control/node"}  # a decision says what was before it
C_COMMENT = re.compile(r"/\*(.*?)\*/|//([^\n]*)", re.DOTALL)
CYTHON_TEXT = re.compile(r'"""(.*?)"""|#([^\n]*)', re.DOTALL)


@functools.cache
def _known() -> tuple[frozenset[str], str]:
    """(files and folders, with every way to shorten them from the left; all of them in one text)."""
    paths = {*tracked(), *(parent for path in tracked() for parent in path.parents if parent.name)}
    shorter = ("/".join(path.parts[at:]) for path in paths for at in range(len(path.parts)))
    return frozenset(shorter), "\n".join(f"/{path}" for path in paths)


@functools.cache
def is_there(name: str) -> bool:
    known, anchored = _known()
    name = name.rstrip("/")
    return name in known or name in FOREIGN | GONE or f"/{name}." in anchored or f"/{name}-" in anchored


@functools.cache
def _tops() -> frozenset[str]:
    return frozenset(path.parts[0] for path in tracked() if len(path.parts) > 1)


def missing(body: str, folder: Path) -> list[str]:
    """Paths that `body`, which stands in `folder`, names and that are not there."""
    found = {f"{name}/" for name in FOLDER.findall(body) if not is_there(name)}
    for word in (match.rstrip(".") for match in WORD.findall(body)):
        named_file = re.search(rf"\.(?:{OURS})$", word)
        if PLACEHOLDER.search(word):
            continue
        if word.startswith("../"):
            word = os.path.normpath(folder / word)
        elif not named_file and word.split("/")[0] not in _tops():
            continue
        if not is_there(word):
            found.add(word)
    return sorted(found)


def said(path: Path) -> str:
    """What a file says to its readers: a page, or docstrings and comments."""
    body = text(path)
    if path.suffix == ".md":
        return body
    if path.suffix == ".h":
        return "\n".join(a or b for a, b in C_COMMENT.findall(body))
    if path.suffix in (".pyx", ".pxd"):
        return "\n".join(a or b for a, b in CYTHON_TEXT.findall(body))
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    parts = [
        ast.get_docstring(node) or "" for node in ast.walk(ast.parse(body)) if isinstance(node, documented)
    ]
    tokens = tokenize.generate_tokens(io.StringIO(body).readline)
    return "\n".join([*parts, *(token.string for token in tokens if token.type == tokenize.COMMENT)])


# COMPARISON.md names files of other projects, this file what is not there.
UNREAD = {Path("docs/COMPARISON.md"), Path("tests/architecture/test_named_paths.py")}
READ = [
    p
    for p in tracked()
    if p.suffix in (".md", ".py", ".pyi", ".pyx", ".pxd", ".h")
    and "corpus" not in p.parts
    and p not in UNREAD
]


@every(READ)
def test_every_path_that_is_named_is_there(path: Path) -> None:
    if missing(text(path), path.parent):  # else no need to tell what of it is said
        found = missing(said(path), path.parent)
        assert not found, found


def test_a_path_that_is_not_there_is_found() -> None:
    body = (
        "`control/nowhere.py`, (docs/NO.md), `engine/gone.pyx`, `control/nodes/`, [x](../LICENCE.md), old.py."
    )
    assert missing(body, Path("docs")) == [
        "LICENCE.md", "control/nodes/", "control/nowhere.py", "docs/NO.md", "engine/gone.pyx", "old.py",
    ]  # fmt: skip
    body = (
        "`control/logs.py`, docs/decisions/0013, `engine/loop.pyx`, crypto/aead, [x](../README.md), `keys/`"
    )
    assert missing(body, Path("docs")) == []
