"""zstd through the optional `zstandard` package; without it the preamble simply does not ask for
compressed bodies.
"""

from __future__ import annotations

from types import ModuleType

from qianwan.errors import ProtocolError

_module: ModuleType | None
try:
    import zstandard as _module
except ImportError:
    _module = None

AVAILABLE = _module is not None


def decompress(packed: bytes, raw_len: int) -> bytes:
    """One zstd frame of exactly `raw_len` raw bytes; raises ProtocolError."""
    if _module is None:
        raise ProtocolError("the server compressed a body although this client did not ask for it")
    try:
        declared = _module.frame_content_size(packed)
        if declared not in (-1, raw_len):
            raise ProtocolError("a compressed body contradicts its length")
        raw: bytes = _module.ZstdDecompressor().decompress(packed, max_output_size=raw_len)
    except _module.ZstdError as error:
        raise ProtocolError("a compressed body is damaged") from error
    if len(raw) != raw_len:
        raise ProtocolError("a compressed body contradicts its length")
    return raw


def compress(raw: bytes) -> bytes:
    """One zstd frame; only to be called when AVAILABLE."""
    if _module is None:
        raise RuntimeError("the zstandard package is not installed")
    packed: bytes = _module.ZstdCompressor(level=3).compress(raw)
    return packed
