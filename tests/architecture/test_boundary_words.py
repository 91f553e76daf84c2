"""Words that may stand only on one side of a boundary, and words that may stand nowhere."""

from __future__ import annotations

import re
from pathlib import Path

from tests.support.tree import every, sources, text, tracked

IO_MODULES = (
    "socket asyncio threading selectors select time datetime os pathlib io fcntl tempfile shutil subprocess"
    " multiprocessing concurrent signal logging structlog posix mmap stdio"
)
PURE = rf"\b(?:{'|'.join(IO_MODULES.split())})\b(?=[ \t]*(?:$|c?import|,|\.|as\b))"
FORBIDDEN_BELOW: dict[str, str] = {
    # frame and crypto do no I/O, keep no clock and start no thread.
    "frame": PURE,
    "crypto": PURE,
    "gateway_core": r"\b(?:fastapi|asyncio|etcd|aetcd|nats|pydantic|apsw)\b",
    "im_service": r"\b(?:fastapi|uvicorn|starlette|aetcd|nats|gateway_core)\b",
}
READ = [
    p
    for p in tracked()
    if p.suffix in (".py", ".pyx", ".pxd", ".pyi", ".h", ".js", ".md", ".toml", ".sh", ".sql")
]
HE_OR_SHE = re.compile(r"(?<![A-Za-z])(?:he|his|him|himself|she|her|hers|herself)(?![A-Za-z])", re.IGNORECASE)
IMPORT_LINE = re.compile(r"^[ \t]*(?:from|import|cimport)\b.*$", re.MULTILINE)


@every(sources(*FORBIDDEN_BELOW))
def test_imports_nothing_from_beyond_its_boundary(path: Path) -> None:
    pattern = re.compile(FORBIDDEN_BELOW[path.parts[0]])
    for line in IMPORT_LINE.findall(text(path)):
        assert not pattern.search(line), f"{path}: {line.strip()}"


@every(sources("frame", "crypto"))
def test_frame_and_crypto_open_no_file(path: Path) -> None:
    assert not re.search(r"(?<![\w.])(?<!def )(?:open|fopen|print|input)\s*\(", text(path)), str(path)


def test_the_words_of_input_and_output_are_seen_in_every_form() -> None:
    for line in (
        "import os",
        "from os import path",
        "import io as x",
        "from pathlib import Path",
        "import time, re",
        "from posix.time cimport clock_gettime",
        "from libc.stdio cimport FILE",
    ):
        assert re.search(PURE, line), line
    for line in (
        "from crypto.noise cimport x",
        "from frame import constants",
        "from nacl.signing import Key",
    ):
        assert not re.search(PURE, line), line


@every(sources("gateway_core", "benchmarks", suffixes=(".pyx", ".pxd")))
def test_the_gil_is_taken_only_in_the_bridge(path: Path) -> None:
    if path.parts[0] == "gateway_core" and path.stem == "bridge":
        return
    assert not re.search(r"\bwith\s+gil\b", text(path)), f"{path} takes the GIL"


@every(sources(suffixes=(".pyx", ".pxd")))
def test_no_void_function_raises_through_the_exception_flag(path: Path) -> None:
    """`void f() except *` takes the GIL after every call to look for an exception (about 55 ns)."""
    assert not re.search(r"\bvoid\b[^\n]*\bexcept\s*\*", text(path)), str(path)


@every(sources())
def test_nothing_is_put_off_or_looked_away_from(path: Path) -> None:
    if path == Path("tests/architecture/test_boundary_words.py"):
        return
    body = text(path)
    put_off = r"\b(?:TODO|FIXME|XXX|HACK)\b|pytest\.(?:skip|xfail)|mark\.(?:skip|xfail)"
    looked_away = r"type:\s*ignore|^\s*except\s*:"
    words = f"{put_off}|{looked_away}"
    found = re.search(words, body, re.MULTILINE)
    assert found is None, f"{path}: {found.group(0) if found else ''}"


@every(READ)
def test_people_are_they(path: Path) -> None:
    """Whoever a text is about, in names of functions too. Migrations stay as they were applied."""
    if path == Path("tests/architecture/test_boundary_words.py") or "migrations" in path.parts:
        return
    found = HE_OR_SHE.search(text(path))
    assert found is None, f"{path}: {found.group(0) if found else ''}"


@every([p for p in tracked() if p.suffix not in {".bin", ".png", ".zst"}])
def test_no_machine_path_stands_in_the_repository(path: Path) -> None:
    if path == Path("tests/architecture/test_boundary_words.py") or "corpus" in path.parts:
        return
    body = text(path)
    for word in ("/root/", "/work/", "/home/", "/tmp/qw", ".library"):
        assert word not in body, f"{path} names {word}"
