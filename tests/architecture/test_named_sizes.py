"""Arrays of C have named sizes: who reads the name knows what fits, who changes it changes all of them."""

from __future__ import annotations

import re
from pathlib import Path

from tests.support.tree import every, sources, text

TOPS = ("cmodules", "frame", "crypto", "gateway_core", "benchmarks")
SCALAR = r"(?:u?int(?:8|16|32|64)_t|size_t|ptrdiff_t|unsigned char|char|int|double|float|__m128i)"
NUMBER = r"\[(?:0x)?\d+(?: *[-+*] *\d+)*\]"
# An array declared with bare numbers for its size; `name[4] = {1, 2, 3, 4}` counts its own members.
NUMBERED = re.compile(
    rf"^[ \t]*(?:cdef |static |const )*{SCALAR}[ \t][^;(=\n]*?\w(?:\[\w+\])*{NUMBER}(?![ \t]*=)", re.MULTILINE
)


@every(sources(*TOPS, suffixes=(".pyx", ".pxd", ".h")))
def test_no_array_is_sized_by_a_number(path: Path) -> None:
    found = NUMBERED.findall(text(path))
    assert not found, f"{path}: {[line.strip() for line in found]}"


def test_a_numbered_array_is_seen_in_every_form() -> None:
    for line in (
        "    cdef uint8_t nonce[16]",
        "    uint8_t key[32]  # of a cipher",
        "cdef uint8_t VALUE[256]",
        "    cdef uint8_t block[64 + 32]",
        "    uint8_t text[60], digest[20];",
        "    static const uint8_t zeros[32];",
        "    int tokens[MESSAGES][4]",
    ):
        assert NUMBERED.search(line), line
    for line in (
        "    cdef uint8_t nonce[AEAD_NONCE_MAX]",
        "    uint32_t h[5] = {1, 2, 3, 4, 5};",
        "    if words[0] > 1:",
        "    return out[0]",
        "    cdef uint8_t head[2 * UV_MAX]",
        "    uint8_t b = p[0];",
    ):
        assert not NUMBERED.search(line), line
