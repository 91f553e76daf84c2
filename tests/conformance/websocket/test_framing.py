"""RFC 6455 section 5 at the level of frame headers, in the order of Autobahn's case groups 1-5 and 9."""

from __future__ import annotations

import pytest

from frame import websocket
from frame.errors import MALFORMED, NEED_MORE, TOO_BIG
from frame.models import WsHeader
from tests.support.reference_web import ws_mask

TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10
MASK = b"\x37\xfa\x21\x3d"


def test_examples_of_section_5_7() -> None:
    assert websocket.parse_header(bytes.fromhex("810548656c6c6f")) == (2, WsHeader(1, True, None, 5))
    masked = bytes.fromhex("818537fa213d7f9f4d5158")
    assert websocket.parse_header(masked) == (6, WsHeader(1, True, MASK, 5))
    assert websocket.apply_mask(masked[6:], MASK) == b"Hello"
    assert websocket.parse_header(bytes.fromhex("010348656c")) == (2, WsHeader(1, False, None, 3))
    assert websocket.parse_header(bytes.fromhex("80026c6f")) == (2, WsHeader(0, True, None, 2))
    assert websocket.parse_header(bytes.fromhex("8a8537fa213d7f9f4d5158")) == (6, WsHeader(10, True, MASK, 5))
    assert websocket.parse_header(bytes.fromhex("827e0100")) == (4, WsHeader(2, True, None, 256))
    assert websocket.parse_header(bytes.fromhex("827f0000000000010000")) == (
        10,
        WsHeader(2, True, None, 65536),
    )


# 1.1, 1.2 and 9.x: lengths

LENGTHS = [(0, 2), (1, 2), (125, 2), (126, 4), (127, 4), (65535, 4), (65536, 10), (2**63 - 1, 10)]


@pytest.mark.parametrize(("length", "size"), LENGTHS)
@pytest.mark.parametrize("opcode", [TEXT, BINARY])
def test_1_every_length_has_one_form(opcode: int, length: int, size: int) -> None:
    plain = websocket.build_header(opcode, length)
    assert len(plain) == size
    assert websocket.parse_header(plain) == (size, WsHeader(opcode, True, None, length))
    masked = websocket.build_header(opcode, length, MASK)
    assert websocket.parse_header(masked) == (size + 4, WsHeader(opcode, True, MASK, length))


@pytest.mark.parametrize("length", [0, 1, 124, 125])
def test_1_a_two_byte_length_below_126_is_malformed(length: int) -> None:
    assert websocket.parse_header(b"\x82\x7e" + length.to_bytes(2, "big")) == (MALFORMED, None)


@pytest.mark.parametrize("length", [0, 125, 126, 65535])
def test_1_an_eight_byte_length_below_65536_is_malformed(length: int) -> None:
    assert websocket.parse_header(b"\x82\x7f" + length.to_bytes(8, "big")) == (MALFORMED, None)


def test_1_the_top_bit_of_a_length_must_be_0() -> None:
    assert websocket.parse_header(b"\x82\x7f" + (2**63).to_bytes(8, "big")) == (MALFORMED, None)


def test_9_the_limit_is_judged_before_the_mask_arrives() -> None:
    assert websocket.parse_header(b"\x82\xfe\x01\x01", max_payload=256) == (TOO_BIG, None)
    assert websocket.parse_header(b"\x82\xfe\x01\x00", max_payload=256) == (NEED_MORE, None)
    assert websocket.parse_header(b"\x82\x7f" + (2**62).to_bytes(8, "big"), max_payload=2**20) == (
        TOO_BIG,
        None,
    )


# 2: ping and pong, 5.5: control frames


@pytest.mark.parametrize("opcode", [CLOSE, PING, PONG])
def test_2_control_frames_carry_at_most_125_bytes(opcode: int) -> None:
    assert websocket.parse_header(bytes([0x80 | opcode, 125]))[0] == 2
    for length_byte in (126, 127, 254, 255):
        assert websocket.parse_header(bytes([0x80 | opcode, length_byte])) == (MALFORMED, None)


@pytest.mark.parametrize("opcode", [CLOSE, PING, PONG])
def test_5_control_frames_are_not_fragmented(opcode: int) -> None:
    assert websocket.parse_header(bytes([opcode])) == (MALFORMED, None)


# 3: reserved bits


@pytest.mark.parametrize("bits", range(1, 8))
@pytest.mark.parametrize("opcode", [0, TEXT, BINARY, CLOSE, PING, PONG])
def test_3_reserved_bits_are_malformed(opcode: int, bits: int) -> None:
    assert websocket.parse_header(bytes([0x80 | bits << 4 | opcode])) == (MALFORMED, None)


# 4: reserved opcodes


@pytest.mark.parametrize("opcode", [3, 4, 5, 6, 7, 11, 12, 13, 14, 15])
def test_4_reserved_opcodes_are_malformed(opcode: int) -> None:
    assert websocket.parse_header(bytes([0x80 | opcode])) == (MALFORMED, None)


# 5: fragmentation; each step is (opcode, fin) and ends in the message under way or a failure


@pytest.mark.parametrize(
    "steps",
    [
        [(TEXT, True)],
        [(BINARY, False), (0, True)],
        [(TEXT, False), (0, False), (0, False), (0, True), (BINARY, True)],
        [(TEXT, False), (PING, True), (0, False), (PONG, True), (CLOSE, True), (0, True)],
    ],
)
def test_5_messages_in_pieces_with_control_frames_between(steps: list[tuple[int, bool]]) -> None:
    message = 0
    for opcode, fin in steps:
        result, message = websocket.sequence(message, opcode, fin)
        assert result == 1
    assert message == 0


@pytest.mark.parametrize(
    "steps",
    [
        [(0, True)],
        [(0, False)],
        [(TEXT, True), (0, True)],
        [(TEXT, False), (TEXT, True)],
        [(BINARY, False), (BINARY, False)],
        [(TEXT, False), (0, True), (0, True)],
        [(PING, True), (0, True)],
    ],
)
def test_5_continuations_of_nothing_and_messages_inside_messages(steps: list[tuple[int, bool]]) -> None:
    message, results = 0, []
    for opcode, fin in steps:
        result, message = websocket.sequence(message, opcode, fin)
        results.append(result)
    assert results[-1] == MALFORMED
    assert set(results[:-1]) <= {1}


# masking


@pytest.mark.parametrize("size", [0, 1, 3, 4, 7, 8, 9, 125, 126, 65535, 65536])
@pytest.mark.parametrize("misalign", range(8))
def test_masking_at_every_alignment(size: int, misalign: int) -> None:
    data = bytes(i * 7 % 256 for i in range(size))
    for offset in (0, 1, 2, 3, 5, 2**32 + 3):
        assert websocket.apply_mask(data, MASK, offset, misalign) == ws_mask(data, MASK, offset)


def test_a_payload_unmasked_in_pieces_is_the_payload() -> None:
    data = bytes(range(61))
    masked = websocket.apply_mask(data, MASK)
    for cut in range(len(data) + 1):
        pieces = websocket.apply_mask(masked[:cut], MASK) + websocket.apply_mask(masked[cut:], MASK, cut)
        assert pieces == data
