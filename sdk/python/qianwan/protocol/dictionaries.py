"""The trained dictionaries that a client holds: each comes from a gateway, once for all connections."""

from __future__ import annotations

from qianwan.errors import ProtocolError
from qianwan.protocol import zstd

KEPT = 4
SMALLEST = 64
"""Bytes of a body from which a dictionary pays."""


class Dictionaries:
    """At most `KEPT`, oldest out; without the `zstandard` package none."""

    def __init__(self) -> None:
        self._held: dict[int, zstd.Dictionary] = {}

    def __contains__(self, id: int) -> bool:
        return id in self._held

    def take(self, id: int, dictionary: bytes) -> None:
        """Raises ProtocolError for what is no dictionary of this id."""
        taken = zstd.Dictionary(dictionary)
        if taken.id != id:
            raise ProtocolError("a dictionary has another id than it was sent under")
        self._held.pop(id, None)
        self._held[id] = taken
        while len(self._held) > KEPT:
            del self._held[next(iter(self._held))]

    def compress(self, raw: bytes, id: int) -> bytes:
        """One zstd frame, by the dictionary of this id where it is held."""
        held = self._held.get(id)
        return zstd.compress(raw) if held is None else held.compress(raw)

    def decompress(self, packed: bytes, raw_len: int) -> bytes:
        """One zstd frame of exactly `raw_len` raw bytes, by the dictionary it names. Raises ProtocolError."""
        held = self._held.get(zstd.dictionary_of(packed)) if self._held else None
        return zstd.decompress(packed, raw_len) if held is None else held.decompress(packed, raw_len)
