"""The SDK's varints and frames: the server's parser reads what it writes, and it refuses what must be
refused.
"""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from qianwan import constants as c
from qianwan.constants import FrameType
from qianwan.errors import ProtocolError
from qianwan.protocol import frames, messages, varint, zstd

from frame import frames as server_frames
from frame import varint as server_varint

U64 = st.integers(0, 2**64 - 1) | st.sampled_from([0, 127, 128, 16383, 16384, 2**32, 2**63, 2**64 - 1])
FROM_SERVER = sorted(frames._KNOWN_FROM_SERVER)


@given(U64)
def test_varints_agree_with_the_server(value: int) -> None:
    encoded = varint.put(value)
    assert encoded == server_varint.encode(value)
    assert varint.get(encoded + b"\xff", 0) == (value, len(encoded))


@given(st.binary(max_size=12))
def test_varint_judgement_agrees_with_the_server(data: bytes) -> None:
    used, value = server_varint.parse(data)
    if used > 0:
        assert varint.get(data, 0) == (value, used)
    else:
        with pytest.raises(ProtocolError):
            varint.get(data, 0)


@pytest.mark.parametrize("data", ["", "80", "8000", "ff00", "8080808080808080808001", "ffffffffffffffffff02"])
def test_bad_varints_are_refused(data: str) -> None:
    with pytest.raises(ProtocolError):
        varint.get(bytes.fromhex(data), 0)


@given(st.sampled_from(list(FrameType)), st.binary(max_size=300), st.none() | U64)
def test_server_reads_our_frames(kind: FrameType, body: bytes, ack: int | None) -> None:
    packed = frames.pack(kind, body, ack)
    used, parsed = server_frames.parse(packed)
    assert used == len(packed)
    assert parsed is not None
    assert (parsed.type, parsed.ack, parsed.body) == (kind, ack, body)
    assert packed == server_frames.build(kind, body, ack)


@given(
    st.lists(st.tuples(st.sampled_from(FROM_SERVER), st.binary(max_size=200), st.none() | U64), min_size=1)
)
def test_we_read_the_servers_frames(wanted: list[tuple[int, bytes, int | None]]) -> None:
    plain = b"".join(server_frames.build(kind, body, ack) for kind, body, ack in wanted)
    assert [(f.type, f.body, f.ack) for f in frames.parse(plain)] == wanted


@given(st.binary(max_size=60))
def test_random_plaintext_never_raises_anything_else(plain: bytes) -> None:
    try:
        frames.parse(plain)
    except ProtocolError:
        pass


def test_skippable_types_are_skipped_and_others_are_not() -> None:
    known = frames.pack(FrameType.PONG, b"\x01")
    for kind in {*range(24, 32)} - {FrameType.DICTIONARY}:
        assert [f.type for f in frames.parse(frames.pack(kind, b"??") + known)] == [FrameType.PONG]
    for kind in (0, 21, 22, 23, FrameType.AUTH, FrameType.SEND, FrameType.CALL, FrameType.RESUME):
        with pytest.raises(ProtocolError):
            frames.parse(frames.pack(kind))


@pytest.mark.parametrize("plain", ["", "8200", "0205", "c1", "02", "0280f003", "42", "4280"])
def test_bad_plaintext_is_refused(plain: str) -> None:
    with pytest.raises(ProtocolError):
        frames.parse(bytes.fromhex(plain))


def test_a_body_above_the_limit_is_not_sent() -> None:
    frames.pack(FrameType.SEND, bytes(c.MAX_BODY))
    with pytest.raises(ValueError, match="61440"):
        frames.pack(FrameType.SEND, bytes(c.MAX_BODY + 1))


def test_compressed_bodies_open_and_their_limits_hold() -> None:
    raw = b"long chats repeat themselves " * 40
    packed = varint.put(len(raw)) + zstd.compress(raw)
    frame = frames.pack(FrameType.MSG, packed, compressed=True)
    assert frames.parse(frame)[0].body == raw
    assert server_frames.parse_compressed(packed)[0] == len(raw)
    bombs = [
        varint.put(c.MAX_RAW_BODY + 1) + zstd.compress(raw),
        varint.put(len(zstd.compress(bytes(100_000))) * 100 + 1) + zstd.compress(bytes(100_000)),
        varint.put(len(raw) - 1) + zstd.compress(raw),
        varint.put(len(raw) + 1) + zstd.compress(raw),
        varint.put(len(raw)) + b"not zstd",
        b"",
    ]
    for body in bombs:
        with pytest.raises(ProtocolError):
            frames.parse(frames.pack(FrameType.MSG, body, compressed=True))
    with pytest.raises(ProtocolError):
        frames.parse(frames.pack(FrameType.AUTH_OK, packed, compressed=True))


@given(U64, st.text(st.characters(codec="ascii"), min_size=1, max_size=64), st.binary(max_size=64))
def test_requests_and_answers_agree_with_the_server(request: int, name: str, payload: bytes) -> None:
    parsed = server_frames.parse_request(messages.request_body(request, name, payload))
    assert (parsed.request, parsed.name.decode(), parsed.payload) == (request, name, payload)
    answer = messages.parse_answer(server_frames.build_reply(request, 404, payload))
    assert answer == (request, 404, payload)


def test_ping_agrees_with_the_server() -> None:
    parsed = server_frames.parse_ping(messages.ping_body(c.PingState.DOZE, 300))
    assert (parsed.state, parsed.next_interval_s) == (2, 300)
