"""The C parsers and the slow references agree on everything hypothesis can think of."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from frame import frames, preamble, varint, websocket
from frame.errors import MALFORMED, TOO_BIG, Malformed, TooBig
from tests.support import reference_frame, reference_web
from tests.support.frame_cases import CASES, Case

U64 = st.integers(0, 2**64 - 1) | st.integers(0, 300)
BODY_BYTES = st.binary(max_size=64) | st.lists(
    st.sampled_from([0, 1, 2, 5, 127, 128, 129, 255]), max_size=40
).map(bytes)


@st.composite
def damaged(draw: st.DrawFn, inputs: list[bytes]) -> bytes:
    """An input of the table, cut, joined or changed in a few places."""
    data = bytearray(draw(st.sampled_from(inputs))[: draw(st.integers(0, 400))])
    for _ in range(draw(st.integers(0, 3))):
        at = draw(st.integers(0, len(data)))
        piece = draw(st.binary(max_size=3) | st.sampled_from([b"\r\n", b"\n", b",", b": ", b"\x80", b"\x7f"]))
        data[at : at + draw(st.integers(0, 3))] = piece
    return bytes(data)


@pytest.mark.parametrize("case", CASES, ids=lambda c: c.name)
def test_streaming_parsers_agree_with_the_reference(case: Case) -> None:
    inputs = [data for data in case.valid + case.broken if len(data) < 1000]

    @settings(max_examples=400, deadline=None)
    @given(st.binary(max_size=80) | damaged(inputs))
    def agree(data: bytes) -> None:
        assert case.parse(data) == case.reference(data)

    agree()


def outcome(parse: Callable[[bytes], Any], data: bytes) -> Any:
    try:
        return parse(data)
    except Malformed:
        return MALFORMED
    except TooBig:
        return TOO_BIG


PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats() | st.text() | st.binary(),
    lambda inner: (
        st.lists(inner, max_size=20) | st.dictionaries(st.text() | st.integers(0, 9), inner, max_size=4)
    ),
    max_leaves=20,
)
EXTRAS = st.dictionaries(st.text(), PLAIN, max_size=17).map(msgspec.msgpack.encode)


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=40) | EXTRAS, st.data())
def test_extras_agree_with_the_reference_whole_or_damaged(extras: bytes, data: st.DataObject) -> None:
    if extras and data.draw(st.booleans()):
        at = data.draw(st.integers(0, len(extras) - 1))
        extras = extras[:at] + bytes([data.draw(st.integers(0, 255))]) + extras[at + 1 :]
    body = b"\x01" + bytes(3) + b"\x00" + varint.encode(len(extras)) + extras
    expected = reference_frame.auth(body)
    assert outcome(frames.parse_auth, body) == (MALFORMED if expected is None else expected)


@pytest.mark.parametrize(
    ("parse", "reference"),
    [
        (frames.parse_request, reference_frame.request),
        (frames.parse_reply, reference_frame.reply),
        (frames.parse_auth, reference_frame.auth),
        (frames.parse_ping, reference_frame.ping),
        (frames.parse_compressed, reference_frame.compressed),
        (frames.parse_room_messages, reference_frame.room_messages),
        (preamble.parse_tlvs, reference_frame.tlvs),
    ],
    ids=["request", "reply", "auth", "ping", "compressed", "room_messages", "tlvs"],
)
def test_bodies_agree_with_the_reference(
    parse: Callable[[bytes], Any], reference: Callable[[bytes], Any]
) -> None:
    @settings(max_examples=500, deadline=None)
    @given(BODY_BYTES)
    def agree(data: bytes) -> None:
        expected = reference(data)
        assert outcome(parse, data) == (MALFORMED if expected is None else expected)

    agree()


ROOM_BODY = st.lists(
    st.tuples(
        st.integers(0, 4), U64, U64, st.integers(0, 7) | U64, st.binary(max_size=4), st.binary(max_size=4)
    ),
    max_size=4,
)


@settings(max_examples=300, deadline=None)
@given(ROOM_BODY, st.integers(0, 9))
def test_room_messages_agree_with_the_reference_whole_or_cut(
    said: list[tuple[int, int, int, int, bytes, bytes]], cut: int
) -> None:
    body = b"\x05\x04hall"
    for shape, server_id, time_ms, who, name, content in said:
        body += bytes([shape]) + b"".join(map(varint.encode, (server_id, time_ms, who))) + name
        body += (varint.encode(300) if shape & 2 else b"") + varint.encode(len(content)) + content
    body = body[: len(body) - cut]
    expected = reference_frame.room_messages(body)
    assert outcome(frames.parse_room_messages, body) == (MALFORMED if expected is None else expected)


@given(U64)
def test_varints_come_back_and_are_the_shortest(value: int) -> None:
    data = varint.encode(value)
    assert varint.decode(data) == (value, len(data))
    assert len(data) == varint.size(value) == max(1, -(-value.bit_length() // 7))


@given(st.integers(0, 31), st.binary(max_size=300), st.none() | U64, st.booleans())
def test_frames_come_back(kind: int, body: bytes, ack: int | None, compressed: bool) -> None:
    data = frames.build(kind, body, ack, compressed)
    assert frames.parse(data) == (len(data), (kind, compressed, ack, body))


@given(U64, U64, st.binary(max_size=50))
def test_replies_come_back(request: int, code: int, payload: bytes) -> None:
    assert frames.parse_reply(frames.build_reply(request, code, payload)) == (request, code, payload)


@given(
    st.binary(max_size=130), st.binary(min_size=4, max_size=4), st.integers(0, 2**64 - 1), st.integers(0, 15)
)
def test_masking_agrees_at_every_alignment(data: bytes, mask: bytes, offset: int, misalign: int) -> None:
    masked = websocket.apply_mask(data, mask, offset, misalign)
    assert masked == reference_web.ws_mask(data, mask, offset)
    assert websocket.apply_mask(masked, mask, offset) == data


@given(st.binary(max_size=130) | st.text(max_size=40).map(lambda s: b"\x03\xe8" + s.encode()))
def test_close_payloads_agree(data: bytes) -> None:
    assert websocket.parse_close(data) == reference_web.ws_close(data)


@settings(max_examples=1000)
@given(
    st.binary(max_size=8)
    | st.lists(st.sampled_from(b"\x41\x80\xbf\xc2\xe0\xed\xa0\x9f\xf0\x8f\xf4\x90"), max_size=8).map(bytes)
)
def test_utf8_agrees_with_python(data: bytes) -> None:
    try:
        data.decode("utf-8")
        valid = True
    except UnicodeDecodeError:
        valid = False
    assert websocket.utf8_valid(data) is valid
