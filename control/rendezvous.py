"""Rendezvous hashing: everyone who knows the same names makes the same choice, and a lost name moves only
its own.
"""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import blake2b


def score(key: str, name: str) -> float:
    """A number in [0, 1) that depends on both names and nothing else: equal on every machine and every
    run.
    """
    digest = blake2b(f"{key}\0{name}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") / 2**64


def ranked(key: str, names: Iterable[str]) -> list[str]:
    """Names ordered by their score for the key, best first."""
    return sorted(names, key=lambda name: (-score(key, name), name))


def choose(key: str, names: Iterable[str]) -> str | None:
    """The best name for the key, None when there is none."""
    return max(names, key=lambda name: (score(key, name), name), default=None)
