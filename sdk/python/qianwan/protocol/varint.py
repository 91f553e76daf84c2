"""Unsigned LEB128 varints (`uv` in docs/PROTOCOL.md): seven bits a byte, low group first, at most ten
bytes, minimal.
"""

from __future__ import annotations

from qianwan.errors import ProtocolError

MAX_BYTES = 10
LIMIT = 1 << 64


def put(value: int) -> bytes:
    """Encode `0 <= value < 2**64`."""
    if value < 0x80:
        if value < 0:
            raise ValueError("a varint is unsigned")
        return bytes((value,))
    if value >= LIMIT:
        raise ValueError("a varint holds at most 64 bits")
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def get(data: bytes, at: int) -> tuple[int, int]:
    """Decode the varint at `data[at:]`; returns (value, index behind it).

    Raises ProtocolError when it is cut off, not minimal or wider than 64 bits.
    """
    value = 0
    shift = 0
    end = len(data)
    while at < end:
        byte = data[at]
        at += 1
        if byte < 0x80:
            if byte == 0 and shift:
                raise ProtocolError("varint is not minimal")
            value |= byte << shift
            if value >= LIMIT:
                raise ProtocolError("varint is wider than 64 bits")
            return value, at
        value |= (byte & 0x7F) << shift
        shift += 7
        if shift == 7 * MAX_BYTES:
            raise ProtocolError("varint is longer than ten bytes")
    raise ProtocolError("varint is cut off")
