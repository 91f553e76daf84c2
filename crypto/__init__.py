"""Bytes <-> sealed bytes: libsodium, Noise handshakes, transport ciphers, compressed bodies.

No clock, no sockets, no threads, no files.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from crypto import aead, handshake, noise, sodium, symmetric, zstd

__all__ = ["compare_layouts"]


def compare_layouts(marks: Iterable[tuple[str, Mapping[str, tuple[int, ...]]]]) -> None:
    """Compare the marks of rooms that share C structs; `marks` are pairs (room, LAYOUT).

    Rooms are separate extension modules: one that was built before a struct changed would import silently and
    read garbage. Raises ImportError that names both rooms.
    """
    seen: dict[str, tuple[str, tuple[int, ...]]] = {}
    for room, layout in marks:
        for struct, mark in layout.items():
            other, known = seen.setdefault(struct, (room, mark))
            if known != mark:
                raise ImportError(
                    f"{room} and {other} disagree on the layout of {struct}: rebuild the C rooms"
                )


compare_layouts((room.__name__, room.LAYOUT) for room in (sodium, zstd, aead, symmetric, handshake, noise))
