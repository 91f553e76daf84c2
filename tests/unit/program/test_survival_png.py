"""The PNG of a survival curve is a true PNG, and its line is where the estimate is."""

from __future__ import annotations

import struct
import zlib

import pytest

from control.policy.survival import Cell, curve_of
from program.cli.admin.png import GLYPHS, SIGNATURE, Canvas, width_of
from program.cli.admin.policy_picture import (
    ALIVE,
    BOTTOM,
    LEFT,
    PALETTE,
    PNG_HEIGHT,
    PNG_WIDTH,
    RIGHT,
    TOP,
    png,
)


def read(data: bytes) -> tuple[list[bytes], bytes]:
    """Rows of indices, and the palette; every length and checksum is looked at."""
    assert data.startswith(SIGNATURE)
    at, chunks = len(SIGNATURE), {}
    while at < len(data):
        size = struct.unpack_from(">I", data, at)[0]
        kind, body = data[at + 4 : at + 8], data[at + 8 : at + 8 + size]
        assert struct.unpack_from(">I", data, at + 8 + size)[0] == zlib.crc32(kind + body)
        chunks[kind] = body
        at += 12 + size
    width, height, *rest = struct.unpack(">IIBBBBB", chunks[b"IHDR"])
    assert rest == [8, 3, 0, 0, 0]
    lines = zlib.decompress(chunks[b"IDAT"])
    assert len(lines) == height * (width + 1)
    rows = [lines[at : at + width + 1] for at in range(0, len(lines), width + 1)]
    assert {row[0] for row in rows} == {0}
    assert list(chunks)[-1] == b"IEND"
    return [row[1:] for row in rows], chunks[b"PLTE"]


def test_the_line_falls_where_connections_died() -> None:
    cell = Cell()
    for _ in range(100):
        cell.death(300.0)
        cell.censored(600.0)
    rows, palette = read(png(curve_of(cell, "4g", "46000")))
    assert palette == b"".join(bytes(colour) for colour in PALETTE)
    assert (len(rows), len(rows[0])) == (PNG_HEIGHT, PNG_WIDTH)
    inner_x, inner_y = PNG_WIDTH - LEFT - RIGHT, PNG_HEIGHT - TOP - BOTTOM
    floor = min(y for y, row in enumerate(rows) if ALIVE in row)
    lowest = max(y for y, row in enumerate(rows) if ALIVE in row)
    assert floor == TOP
    half = LEFT + round(300 / 600 * inner_x)
    assert rows[TOP][half - 5] == ALIVE
    assert rows[TOP][half + 8] != ALIVE
    assert rows[(floor + lowest) // 2][half + 1] == ALIVE, "upright where they died"
    assert lowest < TOP + inner_y


def test_without_a_death_there_is_a_picture_too() -> None:
    rows, _ = read(png(curve_of(Cell())))
    assert rows[TOP][LEFT] == ALIVE


def test_words_are_drawn_in_their_place() -> None:
    canvas = Canvas(40, 20, PALETTE)
    canvas.text(2, 3, "1l", 2, scale=1)
    rows, _ = read(canvas.png())
    assert [row[2 + 2] for row in rows[3:10]] == [2] * 7, "the stem of a 1"
    assert width_of("1l", 1) == 12
    assert {len(glyph) for glyph in GLYPHS.values()} == {10}


@pytest.mark.parametrize("block", [(-5, -5, 3, 3), (38, 18, 9, 9), (100, 100, 5, 5), (0, 0, 0, 4)])
def test_what_is_outside_is_not_drawn(block: tuple[int, int, int, int]) -> None:
    canvas = Canvas(40, 20, PALETTE)
    canvas.block(*block, 3)
    rows, _ = read(canvas.png())
    inside = [(x, y) for y, row in enumerate(rows) for x, colour in enumerate(row) if colour]
    assert inside == ([(38, 18), (39, 18), (38, 19), (39, 19)] if block[0] == 38 else [])
