"""Bytes <-> sealed bytes: libsodium, Noise handshakes, transport ciphers, compressed bodies.

No clock, no sockets, no threads, no files.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from crypto import aead, handshake, noise, sodium, symmetric, zstd

__all__ = ["compare_layouts"]


def compare_layouts(marks: Iterable[tuple[str, Mapping[str, tuple[int, ...]]]]) -> None:
    """Compare the marks of modules that share C structs; `marks` are pairs (module, LAYOUT).

    They are built one by one: one that was built before a struct changed would import silently and
    read garbage. Raises ImportError that names both.
    """
    seen: dict[str, tuple[str, tuple[int, ...]]] = {}
    for module, layout in marks:
        for struct, mark in layout.items():
            other, known = seen.setdefault(struct, (module, mark))
            if known != mark:
                raise ImportError(
                    f"{module} and {other} disagree on the layout of {struct}: rebuild the C modules"
                )


compare_layouts((each.__name__, each.LAYOUT) for each in (sodium, zstd, aead, symmetric, handshake, noise))
