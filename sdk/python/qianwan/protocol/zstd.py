"""zstd through the optional `zstandard` package; without it the preamble simply does not ask for
compressed bodies.
"""

from __future__ import annotations

from types import ModuleType
from typing import Any

from qianwan.errors import ProtocolError

_module: ModuleType | None
try:
    import zstandard as _module
except ImportError:
    _module = None

AVAILABLE = _module is not None
_LEVEL = 3


def _zstandard() -> ModuleType:
    if _module is None:
        raise RuntimeError("the zstandard package is not installed")
    return _module


class Dictionary:
    """A trained dictionary, digested once. Raises ProtocolError for what is none."""

    def __init__(self, data: bytes) -> None:
        module = _zstandard()
        trained = module.ZstdCompressionDict(data)
        self.id: int = trained.dict_id()
        try:
            self._compress = module.ZstdCompressor(level=_LEVEL, dict_data=trained)
            self._expand = module.ZstdDecompressor(dict_data=trained)
        except module.ZstdError as error:
            raise ProtocolError("a dictionary is damaged") from error
        if not self.id:
            raise ProtocolError("a dictionary is none")

    def compress(self, raw: bytes) -> bytes:
        packed: bytes = self._compress.compress(raw)
        return packed

    def decompress(self, packed: bytes, raw_len: int) -> bytes:
        return _decompress(self._expand, packed, raw_len)


def dictionary_of(packed: bytes) -> int:
    """The id of the dictionary that a zstd frame names, 0: none. Raises ProtocolError."""
    module = _zstandard()
    try:
        id: int = module.get_frame_parameters(packed).dict_id
    except module.ZstdError as error:
        raise ProtocolError("a compressed body is damaged") from error
    return id


def decompress(packed: bytes, raw_len: int) -> bytes:
    """One zstd frame of exactly `raw_len` raw bytes; raises ProtocolError."""
    if _module is None:
        raise ProtocolError("the server compressed a body although this client did not ask for it")
    return _decompress(_module.ZstdDecompressor(), packed, raw_len)


def _decompress(expand: Any, packed: bytes, raw_len: int) -> bytes:
    module = _zstandard()
    try:
        declared = module.frame_content_size(packed)
        if declared not in (-1, raw_len):
            raise ProtocolError("a compressed body contradicts its length")
        raw: bytes = expand.decompress(packed, max_output_size=raw_len)
    except module.ZstdError as error:
        raise ProtocolError("a compressed body is damaged") from error
    if len(raw) != raw_len:
        raise ProtocolError("a compressed body contradicts its length")
    return raw


def compress(raw: bytes) -> bytes:
    """One zstd frame; only to be called when AVAILABLE."""
    packed: bytes = _zstandard().ZstdCompressor(level=_LEVEL).compress(raw)
    return packed
