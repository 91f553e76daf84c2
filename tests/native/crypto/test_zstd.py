"""Compressed bodies: round trips, limits before allocation, damaged and hostile frames."""

from __future__ import annotations

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from crypto.errors import CompressionFailed
from crypto.zstd import Compressor, frame_size
from tests.support.noise_peer import seeded

MIB = 1 << 20


@settings(deadline=None)
@given(st.binary(min_size=1, max_size=5000))
def test_a_body_comes_back_and_zstandard_reads_it_too(raw: bytes) -> None:
    body = Compressor().compress(raw)
    assert frame_size(body) == len(raw)
    assert Compressor().decompress(body, len(raw)) == raw
    assert zstandard.ZstdDecompressor().decompress(body) == raw


def test_bodies_of_other_encoders_are_read_with_and_without_a_declared_size() -> None:
    raw = seeded().randbytes(3000) * 3
    for declared in (True, False):
        body = zstandard.ZstdCompressor(write_content_size=declared, write_checksum=True).compress(raw)
        assert frame_size(body) == (len(raw) if declared else -2)
        assert Compressor().decompress(body, len(raw)) == raw


def test_the_raw_length_must_be_exact() -> None:
    raw = seeded().randbytes(1000)
    for declared in (True, False):
        body = zstandard.ZstdCompressor(write_content_size=declared).compress(raw)
        for wrong in (0, 1, 999, 1001, 2000, 2**63, 2**64 - 1):
            with pytest.raises(CompressionFailed):
                Compressor().decompress(body, wrong)


@pytest.mark.parametrize("declared", [True, False])
def test_a_bomb_is_refused_by_size_and_by_ratio(declared: bool) -> None:
    encoder = zstandard.ZstdCompressor(level=19, write_content_size=declared)
    huge = encoder.compress(bytes(64 * MIB))
    with pytest.raises(CompressionFailed, match="limits"):
        Compressor().decompress(huge, 64 * MIB)
    dense = encoder.compress(bytes(MIB))
    assert len(dense) * 100 < MIB
    with pytest.raises(CompressionFailed, match="limits"):
        Compressor().decompress(dense, MIB)
    with pytest.raises(CompressionFailed):
        Compressor().decompress(huge, len(huge) * 100)
    assert Compressor().decompress(dense, MIB, max_ratio=1 << 20) == bytes(MIB)


def test_only_one_whole_frame_is_a_body() -> None:
    body = Compressor().compress(b"one frame only, please")
    skippable = b"\x50\x2a\x4d\x18\x04\x00\x00\x00abcd"
    for wrong in (b"", body[:3], body[:-1], body + b"\0", body + body, skippable, skippable + body, body[4:]):
        assert frame_size(wrong) == -1
        with pytest.raises(CompressionFailed):
            Compressor().decompress(wrong, 22)


def test_damaged_frames_fail_or_differ_but_never_overrun() -> None:
    rng = seeded()
    raw = b"the quick brown fox " * 40
    body = Compressor().compress(raw)
    box = Compressor()
    for at in range(len(body)):
        damaged = bytearray(body)
        damaged[at] ^= 1 << rng.randrange(8)
        try:
            inflated = box.decompress(bytes(damaged), len(raw), max_ratio=1000)
        except CompressionFailed:
            continue
        assert len(inflated) == len(raw)
    assert box.decompress(body, len(raw), max_ratio=1000) == raw


def test_levels_read_each_other() -> None:
    assert Compressor(level=1).decompress(Compressor(level=19).compress(b"x" * 50), 50) == b"x" * 50
