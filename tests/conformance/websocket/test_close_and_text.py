"""Close payloads (RFC 6455 7.4, Autobahn groups 7.3-7.13) and UTF-8 (groups 6.x, at the codec's level)."""

from __future__ import annotations

import pytest

from frame import websocket
from frame.errors import MALFORMED


def close(code: int, reason: bytes = b"") -> bytes:
    return code.to_bytes(2, "big") + reason


def test_7_3_an_empty_payload_means_no_status() -> None:
    assert websocket.parse_close(b"") == (1, 1005)


def test_7_3_one_byte_is_a_protocol_error() -> None:
    assert websocket.parse_close(b"\x03") == (MALFORMED, 1002)


@pytest.mark.parametrize("reason", [b"", b"x", b"Hello World!", b"x" * 123, "ärger".encode()])
def test_7_3_codes_with_reasons(reason: bytes) -> None:
    assert websocket.parse_close(close(1000, reason)) == (1, 1000)


def test_7_3_a_reason_beyond_a_control_frame_is_a_protocol_error() -> None:
    assert websocket.parse_close(close(1000, b"x" * 124)) == (MALFORMED, 1002)


@pytest.mark.parametrize(
    "reason", [b"\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5\xed\xa0\x80", b"\xff", b"a\xe2\x82"]
)
def test_7_5_a_reason_that_is_not_utf8_is_answered_1007(reason: bytes) -> None:
    assert websocket.parse_close(close(1000, reason)) == (MALFORMED, 1007)


VALID = [*range(1000, 1004), *range(1007, 1015), 3000, 3999, 4000, 4999]


@pytest.mark.parametrize("code", VALID)
def test_7_7_valid_codes(code: int) -> None:
    assert websocket.parse_close(close(code)) == (1, code)


INVALID = [0, 1, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535]


@pytest.mark.parametrize("code", INVALID)
def test_7_9_invalid_codes(code: int) -> None:
    assert websocket.parse_close(close(code, b"why")) == (MALFORMED, 1002)


VALID_TEXT = [
    "",
    "Hello-µ@ßöäüàá-UTF-8!!",
    "κόσμε",
    "\x00",
    "\x7f\x80\u07ff\u0800\uffff",
    "\ud7ff\ue000\ufffd",
    "\U00010000\U0010ffff",
]


@pytest.mark.parametrize("text", VALID_TEXT)
def test_6_valid_text(text: str) -> None:
    data = text.encode()
    assert websocket.utf8_valid(data)
    for cut in range(1, len(data)):
        whole = all(byte & 0xC0 != 0x80 for byte in data[cut : cut + 1])
        assert websocket.utf8_valid(data[:cut]) is whole


INVALID_TEXT = [
    "80",
    "bf",
    "c0af",
    "c1bf",
    "e080af",
    "e09fbf",
    "f08080af",
    "f08fbfbf",
    "eda080",
    "edbfbf",
    "eda080edb080",
    "f4908080",
    "f5808080",
    "f888808080",
    "fc8480808080",
    "fe",
    "ff",
    "c2",
    "e282",
    "f09d8c",
    "c3c3",
    "e28228",
    "f0288cbc",
    "f09028bc",
    "f0908c28",
]


@pytest.mark.parametrize("data", INVALID_TEXT)
def test_6_invalid_text(data: str) -> None:
    assert not websocket.utf8_valid(bytes.fromhex(data))
    assert not websocket.utf8_valid(b"before" + bytes.fromhex(data) + b"after")
