"""A target of the Python fuzzer with a fault two branches deep."""

from __future__ import annotations

from pathlib import Path

WATCHED = (Path(__file__),)


def one(data: bytes) -> str:
    if not data.startswith(b"Q"):
        return "nothing"
    if len(data) < 2 or data[1] != ord("W"):
        return "half"
    raise AssertionError("a promise")
