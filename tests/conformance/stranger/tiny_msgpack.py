"""The msgpack of docs/PROTOCOL.md section 18, by hand."""

from __future__ import annotations

import struct
from typing import Any


def pack(value: Any) -> bytes:
    if value is None:
        return b"\xc0"
    if isinstance(value, bool):
        return b"\xc3" if value else b"\xc2"
    if isinstance(value, int):
        return _pack_int(value)
    if isinstance(value, float):
        return b"\xcb" + struct.pack(">d", value)
    if isinstance(value, str):
        data = value.encode()
        return _head(len(data), 0xA0, 32, (0xD9, 0xDA, 0xDB)) + data
    if isinstance(value, bytes):
        return _head(len(value), 0, 0, (0xC4, 0xC5, 0xC6)) + value
    if isinstance(value, (list, tuple)):
        return _head(len(value), 0x90, 16, (None, 0xDC, 0xDD)) + b"".join(map(pack, value))
    if isinstance(value, dict):
        items = b"".join(pack(key) + pack(item) for key, item in value.items())
        return _head(len(value), 0x80, 16, (None, 0xDE, 0xDF)) + items
    raise TypeError(f"{type(value).__name__} is not in the subset")


def _pack_int(value: int) -> bytes:
    if -32 <= value < 128:
        return struct.pack(">b", value) if value < 0 else bytes([value])
    if value >= 0:
        for head, form, limit in ((0xCC, ">B", 8), (0xCD, ">H", 16), (0xCE, ">I", 32), (0xCF, ">Q", 64)):
            if value < 1 << limit:
                return bytes([head]) + struct.pack(form, value)
    for head, form, limit in ((0xD0, ">b", 7), (0xD1, ">h", 15), (0xD2, ">i", 31), (0xD3, ">q", 63)):
        if -(1 << limit) <= value < 0:
            return bytes([head]) + struct.pack(form, value)
    raise OverflowError(value)


def _head(size: int, short: int, short_limit: int, wide: tuple[int | None, int, int]) -> bytes:
    if size < short_limit:
        return bytes([short | size])
    if wide[0] is not None and size < 1 << 8:
        return bytes([wide[0], size])
    if size < 1 << 16:
        return bytes([wide[1]]) + struct.pack(">H", size)
    return bytes([wide[2]]) + struct.pack(">I", size)


_FIXED = {
    0xCA: ">f", 0xCB: ">d", 0xCC: ">B", 0xCD: ">H", 0xCE: ">I", 0xCF: ">Q",
    0xD0: ">b", 0xD1: ">h", 0xD2: ">i", 0xD3: ">q",
}  # fmt: skip
_SIZED = {
    0xD9: (">B", "str"), 0xDA: (">H", "str"), 0xDB: (">I", "str"),
    0xC4: (">B", "bin"), 0xC5: (">H", "bin"), 0xC6: (">I", "bin"),
    0xDC: (">H", "array"), 0xDD: (">I", "array"), 0xDE: (">H", "map"), 0xDF: (">I", "map"),
}  # fmt: skip


def unpack(data: bytes) -> Any:
    """The one value in `data`; ValueError when it is cut off, has a tail, or is outside the subset."""
    value, end = _read(data, 0)
    if end != len(data):
        raise ValueError("bytes behind the value")
    return value


def _number(data: bytes, at: int, form: str) -> tuple[Any, int]:
    end = at + struct.calcsize(form)
    if end > len(data):
        raise ValueError("cut off")
    return struct.unpack(form, data[at:end])[0], end


def _read(data: bytes, at: int) -> tuple[Any, int]:
    if at >= len(data):
        raise ValueError("cut off")
    head, at = data[at], at + 1
    if head < 0x80:
        return head, at
    if head >= 0xE0:
        return head - 256, at
    if head in (0xC0, 0xC2, 0xC3):
        return {0xC0: None, 0xC2: False, 0xC3: True}[head], at
    if head in _FIXED:
        return _number(data, at, _FIXED[head])
    if head < 0xC0:
        kind, size = (
            ("map", head & 15) if head < 0x90 else ("array", head & 15) if head < 0xA0 else ("str", head & 31)
        )
    elif head in _SIZED:
        form, kind = _SIZED[head]
        size, at = _number(data, at, form)
    else:
        raise ValueError(f"type {head:#x} is outside the subset")
    if kind == "array":
        items = []
        for _ in range(size):
            item, at = _read(data, at)
            items.append(item)
        return items, at
    if kind == "map":
        found = {}
        for _ in range(size):
            key, at = _read(data, at)
            found[key], at = _read(data, at)
        return found, at
    end = at + size
    if end > len(data):
        raise ValueError("cut off")
    return (data[at:end].decode() if kind == "str" else data[at:end]), end
