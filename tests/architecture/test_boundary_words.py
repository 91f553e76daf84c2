"""Words that may stand only on one side of a boundary, and words that may stand nowhere."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.support.tree import sources, text, tracked

FORBIDDEN_BELOW: dict[str, str] = {
    # frame and crypto do no I/O, keep no clock and start no thread.
    "frame": r"\b(?:socket|asyncio|threading|selectors|time|select)\b(?=[ \t]*(?:$|import|,|\.))",
    "crypto": r"\b(?:socket|asyncio|threading|selectors|select)\b(?=[ \t]*(?:$|import|,|\.))",
    "gateway_core": r"\b(?:fastapi|asyncio|etcd|aetcd|nats|pydantic|apsw)\b",
    "im_service": r"\b(?:fastapi|uvicorn|starlette|aetcd|nats|gateway_core)\b",
}
IMPORT_LINE = re.compile(r"^[ \t]*(?:from|import|cimport)\b.*$", re.MULTILINE)


@pytest.mark.parametrize("path", sources(*FORBIDDEN_BELOW), ids=str)
def test_imports_nothing_from_beyond_its_boundary(path: Path) -> None:
    pattern = re.compile(FORBIDDEN_BELOW[path.parts[0]])
    for line in IMPORT_LINE.findall(text(path)):
        assert not pattern.search(line), f"{path}: {line.strip()}"


@pytest.mark.parametrize("path", sources("gateway_core", "benchmarks", suffixes=(".pyx", ".pxd")), ids=str)
def test_the_gil_is_taken_only_in_the_bridge(path: Path) -> None:
    if path.parts[0] == "gateway_core" and path.stem == "bridge":
        return
    assert not re.search(r"\bwith\s+gil\b", text(path)), f"{path} takes the GIL"


@pytest.mark.parametrize("path", sources(suffixes=(".pyx", ".pxd")), ids=str)
def test_no_void_function_raises_through_the_exception_flag(path: Path) -> None:
    """`void f() except *` takes the GIL after every call to look for an exception (about 55 ns)."""
    assert not re.search(r"\bvoid\b[^\n]*\bexcept\s*\*", text(path)), str(path)


@pytest.mark.parametrize("path", sources(), ids=str)
def test_nothing_is_put_off_or_looked_away_from(path: Path) -> None:
    if path == Path("tests/architecture/test_boundary_words.py"):
        return
    body = text(path)
    put_off = r"\b(?:TODO|FIXME|XXX|HACK)\b|pytest\.(?:skip|xfail)|mark\.(?:skip|xfail)"
    looked_away = r"type:\s*ignore|^\s*except\s*:"
    words = f"{put_off}|{looked_away}"
    found = re.search(words, body, re.MULTILINE)
    assert found is None, f"{path}: {found.group(0) if found else ''}"


@pytest.mark.parametrize("path", [p for p in tracked() if p.suffix not in {".bin", ".png", ".zst"}], ids=str)
def test_no_machine_path_stands_in_the_repository(path: Path) -> None:
    if path == Path("tests/architecture/test_boundary_words.py") or "corpus" in path.parts:
        return
    body = text(path)
    for word in ("/root/", "/work/", "/home/", "/tmp/qw", ".library"):
        assert word not in body, f"{path} names {word}"
