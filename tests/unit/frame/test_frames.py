"""Frames, records, preamble: exact bytes, limits and the values around them."""

from __future__ import annotations

import pytest

from frame import constants, frames, preamble, record, varint
from frame.errors import MALFORMED, NEED_MORE, TOO_BIG, Malformed, NeedMore, TooBig
from frame.models import Frame


@pytest.mark.parametrize(
    ("value", "encoded"),
    [
        (0, "00"),
        (127, "7f"),
        (128, "8001"),
        (300, "ac02"),
        (16384, "808001"),
        (2**63, "80808080808080808001"),
        (2**64 - 1, "ffffffffffffffffff01"),
    ],
)
def test_varints_have_one_encoding(value: int, encoded: str) -> None:
    assert varint.encode(value).hex() == encoded
    assert varint.decode(bytes.fromhex(encoded)) == (value, len(encoded) // 2)


@pytest.mark.parametrize("longer", ["8000", "ff00", "80808000", "ffffffffffffffffff00"])
def test_a_varint_longer_than_needed_is_malformed(longer: str) -> None:
    with pytest.raises(Malformed):
        varint.decode(bytes.fromhex(longer))


@pytest.mark.parametrize(
    "too_large", ["ffffffffffffffffff02", "ffffffffffffffffff81", "80808080808080808080"]
)
def test_a_varint_above_64_bits_is_malformed(too_large: str) -> None:
    with pytest.raises(Malformed):
        varint.decode(bytes.fromhex(too_large))


@pytest.mark.parametrize("value", [-1, 2**64])
def test_varints_of_other_integers_are_refused(value: int) -> None:
    with pytest.raises(OverflowError):
        varint.encode(value)


def test_a_cut_varint_wants_more() -> None:
    with pytest.raises(NeedMore):
        varint.decode(b"\xff" * 9)


@pytest.mark.parametrize(
    ("frame", "encoded"),
    [
        (Frame(constants.FrameType.PONG, False, None, b"\x05"), "02 01 05"),
        (Frame(constants.FrameType.PING, False, 3, b""), "41 03 00"),
        (Frame(constants.FrameType.MSG, False, None, b"hi"), "06 02 6869"),
        (Frame(constants.FrameType.SEND, True, 300, b"z"), "68 ac02 01 7a"),
        (Frame(constants.FrameType.PADDING, False, None, bytes(128)), "1f 8001" + "00" * 128),
    ],
)
def test_frames_have_these_bytes(frame: Frame, encoded: str) -> None:
    data = bytes.fromhex(encoded)
    assert frames.build(frame.type, frame.body, frame.ack, frame.compressed) == data
    assert frames.parse(data) == (len(data), frame)


def test_the_reserved_bit_is_malformed_whatever_follows() -> None:
    assert frames.parse(b"\x81") == (MALFORMED, None)


def test_a_body_above_the_limit_is_too_big_before_it_arrives() -> None:
    head = frames.build(6, bytes(constants.MAX_BODY))[:4]
    assert frames.parse(head) == (NEED_MORE, None)
    assert frames.parse(b"\x06" + varint.encode(constants.MAX_BODY + 1)) == (TOO_BIG, None)
    assert frames.parse(b"\x06" + varint.encode(2**64 - 1)) == (TOO_BIG, None)
    assert frames.parse(frames.build(6, b"12345"), max_body=4) == (TOO_BIG, None)
    assert frames.parse(frames.build(6), max_body=0)[0] == 2


def test_the_length_of_the_whole_address_space_does_not_wrap() -> None:
    assert frames.parse(b"\x06" + varint.encode(2**64 - 1), max_body=2**64 - 1) == (NEED_MORE, None)


def test_request_bodies() -> None:
    body = varint.encode(9) + b"\x05u/bobpayload"
    assert frames.parse_request(body) == (9, b"u/bob", b"payload")
    assert frames.parse_request(b"\x00\x01m") == (0, b"m", b"")
    for cut in range(7):
        with pytest.raises(Malformed):
            frames.parse_request(body[:cut])


def test_auth_bodies_are_taken_whole_or_not_at_all() -> None:
    body = b"\x01\x03abc\x02hh\x04dev1\x07\x01\x80"
    assert frames.parse_auth(body) == (1, b"abc", b"hh", b"dev1", 7, b"\x80")
    for cut in range(len(body)):
        with pytest.raises(Malformed):
            frames.parse_auth(body[:cut])
    with pytest.raises(Malformed):
        frames.parse_auth(body + b"\x00")
    with pytest.raises(Malformed):
        frames.parse_auth(b"\x01" + varint.encode(2**64 - 1) + b"abc")


def test_ping_bodies() -> None:
    assert frames.parse_ping(b"") == (0, 0)
    assert frames.parse_ping(b"\x03\xac\x02") == (3, 300)
    for wrong in (b"\x03", b"\x03\x80", b"\x03\x80\x00", b"\x03\x01\x00"):
        with pytest.raises(Malformed):
            frames.parse_ping(wrong)


def test_compressed_bodies_are_judged_before_anything_is_allocated() -> None:
    packed = bytes(700)
    most = constants.MAX_RAW_BODY
    assert frames.parse_compressed(varint.encode(most) + packed) == (most, packed)
    assert frames.parse_compressed(varint.encode(500) + bytes(5)) == (500, bytes(5))
    for raw_len, size in [(most + 1, 61000), (501, 5), (2**64 - 1, 61000)]:
        with pytest.raises(TooBig):
            frames.parse_compressed(varint.encode(raw_len) + bytes(size))
    for wrong in (b"", b"\x05", b"\x80", b"\x80\x00x"):
        with pytest.raises(Malformed):
            frames.parse_compressed(wrong)


def test_records_are_bounded_on_both_sides() -> None:
    assert record.parse(record.build(bytes(17)), min_len=17, max_len=17) == (19, bytes(17))
    assert record.parse(record.build(bytes(16)), min_len=17) == (MALFORMED, None)
    assert record.parse(b"\x04\x00", max_len=1022) == (TOO_BIG, None)
    assert record.parse(b"\x03\xfe", max_len=1022) == (NEED_MORE, None)
    with pytest.raises(TooBig):
        record.build(bytes(65536))


def test_preamble_bytes() -> None:
    data = preamble.build(
        1, constants.Pattern.NK, constants.Suite.AEGIS128L, constants.PreambleFlag.ZSTD, 0x0102
    )
    assert data.hex() == "5157010103010102"
    assert len(data) == constants.PREAMBLE_SIZE
    assert preamble.parse(data) == (8, (1, 1, 3, 1, 0x0102))


def test_handshake_tlvs() -> None:
    pairs = [(1, varint.encode(1_700_000_000_000)), (2, b"node-1"), (900, b"")]
    payload = preamble.build_tlvs(pairs)
    assert preamble.parse_tlvs(payload) == pairs
    assert preamble.parse_tlvs(b"") == []
    for cut in (1, 3, len(payload) - 1):
        with pytest.raises(Malformed):
            preamble.parse_tlvs(payload[:cut])


def test_reject_bytes() -> None:
    assert preamble.build_reject(constants.Reject.OVERLOADED, b"\xac\x02").hex() == "0000040002ac02"
    with pytest.raises(TooBig):
        preamble.build_reject(3, bytes(65536))
