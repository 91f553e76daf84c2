"""A small canvas of indexed colours and its PNG (RFC 2083), for pictures where SVG is not shown.

Text is in the glyphs of a 5 x 7 matrix, lower case; what has no glyph is a space.
"""

from __future__ import annotations

import itertools
import struct
import zlib
from collections.abc import Sequence

Colour = tuple[int, int, int]
GLYPHS = {
    "%": "2313086462", ",": "0050300000", ".": "0060600000", "-": "0808080808", ":": "0036360000",
    "0": "3E5149453E", "1": "00427F4000", "2": "4261514946", "3": "2141454B31", "4": "1814127F10",
    "5": "2745454539", "6": "3C4A494930", "7": "0171090503", "8": "3649494936", "9": "064949291E",
    "a": "2054545478", "b": "7F48444438", "c": "3844444420", "d": "384444487F", "e": "3854545418",
    "f": "087E090102", "g": "0C5252523E", "h": "7F08040478", "i": "00447D4000", "j": "2040443D00",
    "k": "7F10284400", "l": "00417F4000", "m": "7C04180478", "n": "7C08040478", "o": "3844444438",
    "p": "7C14141408", "q": "081414187C", "r": "7C08040408", "s": "4854545420", "t": "043F444020",
    "u": "3C4040207C", "v": "1C2040201C", "w": "3C4030403C", "x": "4428102844", "y": "0C5050503C",
    "z": "4464544C44",
}  # fmt: skip
"""Five columns each, the top row in the lowest bit."""
ADVANCE, HEIGHT = 6, 7
SIGNATURE = b"\x89PNG\r\n\x1a\n"


class Canvas:
    """`palette[0]` is the ground. Points outside are not drawn."""

    def __init__(self, width: int, height: int, palette: Sequence[Colour]) -> None:
        self.width, self.height = width, height
        self._palette = palette
        self._rows = [bytearray(width) for _ in range(height)]

    def block(self, x: int, y: int, width: int, height: int, colour: int) -> None:
        for row in self._rows[max(y, 0) : max(y + height, 0)]:
            left, right = max(x, 0), min(x + width, self.width)
            row[left:right] = bytes([colour]) * max(right - left, 0)

    def steps(self, points: Sequence[tuple[int, int]], thick: int, colour: int) -> None:
        """A line whose pieces are level or upright."""
        for (x, y), (to_x, to_y) in itertools.pairwise(points):
            left, top = min(x, to_x), min(y, to_y)
            self.block(left, top, abs(to_x - x) + thick, abs(to_y - y) + thick, colour)

    def text(self, x: int, y: int, words: str, colour: int, scale: int = 2) -> None:
        for character in words.lower():
            for column, bits in enumerate(bytes.fromhex(GLYPHS.get(character, ""))):
                for row in range(HEIGHT):
                    if bits >> row & 1:
                        self.block(x + column * scale, y + row * scale, scale, scale, colour)
            x += ADVANCE * scale

    def png(self) -> bytes:
        head = struct.pack(">IIBBBBB", self.width, self.height, 8, 3, 0, 0, 0)
        colours = b"".join(bytes(colour) for colour in self._palette)
        body = zlib.compress(b"".join(b"\0" + bytes(row) for row in self._rows), 9)
        chunks = ((b"IHDR", head), (b"PLTE", colours), (b"IDAT", body), (b"IEND", b""))
        return SIGNATURE + b"".join(_chunk(kind, data) for kind, data in chunks)


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def width_of(words: str, scale: int = 2) -> int:
    return len(words) * ADVANCE * scale
