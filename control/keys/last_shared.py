"""What a key folder and the cluster had in common last, so that a change of either side can be told from one
of the other, however long this side was away.

    keys/last-shared    generation, and file name -> BLAKE2b of its content
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from hashlib import blake2b
from pathlib import Path

import msgspec

from control.keys.errors import KeyFileError
from control.keys.files import locked, read_bytes, write_bytes

FILE = "last-shared"
_BYTES = 65536


class LastShared(msgspec.Struct, frozen=True):
    """`files`: names and hashes."""

    generation: int
    files: dict[str, str]


def remember(folder: Path, generation: int, files: Mapping[str, bytes]) -> None:
    """Raises KeyFileError, OSError."""
    last = LastShared(generation, hashes(files))
    with locked(folder):
        write_bytes(folder / FILE, msgspec.json.encode(last), replace=True)


def hashes(files: Mapping[str, bytes]) -> dict[str, str]:
    return {name: _hash(content) for name, content in files.items()}


def recall(folder: Path) -> LastShared | None:
    """None where nothing was ever shared, or it cannot be read: the cluster's keys hold then."""
    try:
        return msgspec.json.decode(read_bytes(folder / FILE, _BYTES), type=LastShared)
    except (KeyFileError, ValueError):  # msgspec's errors are such
        return None


def merged(
    last: Mapping[str, str], here: Mapping[str, bytes], there: Mapping[str, bytes]
) -> dict[str, bytes]:
    """What each side changed since `last`: a key that either took away is gone, one that both shortened ends
    as the earlier says, new ones are there. Where both made some of one kind, those of `there` are kept:
    many that rotate at once make one.
    """
    made = {_kind(name) for name in there.keys() - last.keys() - here.keys()}
    found: dict[str, bytes] = {}
    for name in sorted(here.keys() | there.keys()):
        mine, other, before = here.get(name), there.get(name), last.get(name)
        if _hash_of(mine) == before:
            kept = other
        elif _hash_of(other) == before:
            kept = None if before is None and _kind(name) in made else mine
        elif mine is None or other is None:
            kept = None
        else:
            kept = other if before is None else min(other, mine, key=_end)
        if kept is not None:
            found[name] = kept
    return found


def _kind(name: str) -> str:
    return name.partition("-")[0]


def _end(content: bytes) -> int:
    """Of a key file that was written here, or came sealed."""
    end = json.loads(content).get("not_after", 0)
    return end if isinstance(end, int) else 0


def _hash_of(content: bytes | None) -> str | None:
    return None if content is None else _hash(content)


def _hash(content: bytes) -> str:
    return blake2b(content, digest_size=32).hexdigest()
