"""Coverage-guided fuzzing of readers that are Python, as tools/fuzz.py does it for those in C.

A target is tests/fuzz/fuzz_NAME.py with the inputs of tests/fuzz/corpus/NAME: `one(data)` says what became of
an input and raises when a promise is broken, `WATCHED` are the files whose lines count. An input that reaches
new lines, or comes to something new, is mutated further.
"""

from __future__ import annotations

import hashlib
import importlib.util
import random
import sys
import time
import traceback
from collections.abc import Callable, Iterable
from pathlib import Path
from types import FrameType
from typing import NamedTuple, Protocol

MOST = 2048
Edge = tuple[str, int, int]


class Target(NamedTuple):
    one: Callable[[bytes], str]
    watched: frozenset[str]


class Tracer(Protocol):
    """As sys.settrace calls it."""

    def __call__(self, frame: FrameType, event: str, argument: object, /) -> Tracer | None: ...


class Hunt(NamedTuple):
    """What came of it. `broken`: the input that broke a promise, and how."""

    runs: int
    coverage: int
    found: list[bytes]
    broken: tuple[bytes, str] | None


def load(path: Path) -> Target:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return Target(module.one, frozenset(map(str, module.WATCHED)))


def hunt(target: Target, seeds: Iterable[bytes], seconds: float, rng: random.Random) -> Hunt:
    """Seeds first, then mutants of whatever was new."""
    pool: list[bytes] = []
    seen: set[Edge | str] = set()
    waiting = list(seeds)
    runs, until = 0, time.monotonic() + seconds
    while waiting or time.monotonic() < until:
        data = waiting.pop() if waiting else mutant(rng.choice(pool or [b""]), pool, rng)
        runs += 1
        try:
            reached = trace(target, data)
        except Exception:
            return Hunt(runs, len(seen), pool, (data, traceback.format_exc()))
        if not reached <= seen:
            seen |= reached
            pool.append(data)
    return Hunt(runs, len(seen), pool, None)


def trace(target: Target, data: bytes) -> set[Edge | str]:
    """The pairs of lines that were run, one after the other, and what came of it."""
    reached: set[Edge | str] = set()
    last = 0

    def line(frame: FrameType, event: str, argument: object, /) -> Tracer:
        nonlocal last
        if event == "line":
            reached.add((frame.f_code.co_filename, last, frame.f_lineno))
            last = frame.f_lineno
        return line

    def call(frame: FrameType, event: str, argument: object, /) -> Tracer | None:
        return line if frame.f_code.co_filename in target.watched else None

    before = sys.gettrace()
    sys.settrace(call)
    try:
        reached.add(target.one(data))
    finally:
        sys.settrace(before)
    return reached


def mutant(data: bytes, pool: list[bytes], rng: random.Random) -> bytes:
    out = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 4, 8))):
        at = rng.randrange(len(out) + 1)
        match rng.randrange(6):
            case 0 if out:
                out[at % len(out)] ^= 1 << rng.randrange(8)
            case 1 if out:
                out[at % len(out)] = rng.choice((0, 1, 0x7F, 0x80, 0xC0, 0xFF, rng.randrange(256)))
            case 2:
                out[at:at] = rng.randbytes(rng.choice((1, 1, 2, 4, 8, 32)))
            case 3:
                del out[at : at + rng.choice((1, 1, 2, 8, 64))]
            case 4 if pool:
                other = rng.choice(pool)
                begin = rng.randrange(len(other) + 1)
                out[at:at] = other[begin : begin + rng.randrange(64)]
            case _:
                out[at : at + 8] = (rng.choice((0, 1, 2**31, 2**63, 2**64 - 1))).to_bytes(8, "big")
    return bytes(out[:MOST])


def name_of(data: bytes) -> str:
    """As libFuzzer names a file of a corpus."""
    return hashlib.sha1(data, usedforsecurity=False).hexdigest()
