"""One connection without I/O, against `noiseprotocol` as the server: order, acks, rekeying, tampering."""

from __future__ import annotations

import os

import pytest
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from qianwan import constants as c
from qianwan.constants import FrameType
from qianwan.errors import HandshakeRejected, ProtocolError
from qianwan.protocol import ciphers
from qianwan.protocol.wire import State, Wire

from tests.support.qw1_responder import Responder, frame, uv

SUITES = pytest.mark.parametrize("suite", [1, 2, 3])


def connected(suite: int, *, compression: bool = False) -> tuple[Wire, Responder]:
    static = X25519PrivateKey.generate()
    server = Responder(static.private_bytes_raw())
    wire = Wire(suite, 7, static.public_key().public_bytes_raw(), compression=compression)
    server.buffer = wire.start()
    hello = server.hello()
    assert hello is not None
    assert wire.feed(server.accept(hello[1])) == []
    assert wire.state is State.OPEN
    assert wire.handshake_hash == server.handshake_hash
    return wire, server


@SUITES
def test_frames_travel_both_ways_through_many_rekeys(suite: int) -> None:
    wire, server = connected(suite)
    for round_trip in range(5):
        wire.write(FrameType.CALL, b"\x01\x04time%d" % round_trip)
        server.buffer += wire.flush(1000.0 * round_trip)  # each is a new key, the old one was 1000 s old
        kinds = [taken.kind for taken in server.frames()]
        assert kinds == ([FrameType.CALL] if round_trip == 0 else [FrameType.CALL, FrameType.REKEY])
        answer = server.seal(frame(11, b"\x01\x00"), frame(13))
        assert [f.type for f in wire.feed(answer)] == [FrameType.RETURN, FrameType.REKEY]


def test_the_sender_rekeys_after_2_14_records() -> None:
    wire, server = connected(1)
    for _ in range((1 << 14) - 1):
        wire.write(FrameType.PING)
        server.buffer += wire.flush(0.0)
    assert {taken.kind for taken in server.frames()} == {FrameType.PING}
    for expected in ([FrameType.PING, FrameType.REKEY], [FrameType.PING]):
        wire.write(FrameType.PING)
        server.buffer += wire.flush(0.0)
        assert [taken.kind for taken in server.frames()] == expected


def test_a_server_that_keeps_a_key_for_too_long_breaks_the_protocol() -> None:
    wire, server = connected(1)
    for _ in range(2):
        wire.feed(b"".join(server.seal(frame(2, b"\x00")) for _ in range((1 << 14) - 1)))
        wire.feed(server.seal(frame(13)))
    wire.feed(b"".join(server.seal(frame(2, b"\x00")) for _ in range((1 << 14) - 1)))
    with pytest.raises(ProtocolError, match="key"):
        wire.feed(server.seal(frame(2, b"\x00")))


def test_acks_ride_on_the_next_frame_and_only_when_due() -> None:
    wire, server = connected(1)
    wire.feed(server.seal(frame(6, b"a"), frame(6, b"b"), frame(7, b"c")))
    assert (wire.received, wire.acked) == (2, 0)
    wire.write(FrameType.PING)
    wire.write(FrameType.PING)
    server.buffer += wire.flush(0.0)
    assert [(taken.kind, taken.ack) for taken in server.frames()] == [(1, 2), (1, None)]
    wire.write(FrameType.ACK)
    server.buffer += wire.flush(0.0)
    assert [(taken.kind, taken.ack) for taken in server.frames()] == [(3, 2)]


def test_records_are_gathered_up_to_the_target() -> None:
    wire, server = connected(1)
    for size in (10_000, 10_000, 40_000, 10, 10):
        wire.write(FrameType.CALL, os.urandom(size))
    sealed = wire.flush(0.0)
    sizes = []
    at = 0
    while at < len(sealed):
        size = int.from_bytes(sealed[at : at + 2], "big")
        sizes.append(size)
        at += 2 + size
    assert len(sizes) == 4
    server.buffer += sealed
    assert len(server.frames()) == 5


@SUITES
def test_any_flipped_bit_breaks_the_connection(suite: int) -> None:
    static = X25519PrivateKey.generate()
    sealed = b""
    for position in range(20):
        server = Responder(static.private_bytes_raw())
        wire = Wire(suite, 7, static.public_key().public_bytes_raw())
        server.buffer = wire.start()
        hello = server.hello()
        assert hello is not None
        answer = bytearray(server.accept(hello[1], b"\x09\x01x"))
        if position < 10:  # the handshake
            answer[2 + position * 5] ^= 1 << position % 8
            with pytest.raises(ProtocolError):
                wire.feed(bytes(answer))
        else:  # a record, its length left alone
            wire.feed(bytes(answer))
            sealed = server.seal(frame(2, uv(300)))
            damaged = bytearray(sealed)
            damaged[2 + position % (len(sealed) - 2)] ^= 1 << position % 8
            with pytest.raises(ProtocolError):
                wire.feed(bytes(damaged))
        assert wire.state is State.BROKEN
        with pytest.raises(ProtocolError):
            wire.feed(b"more")


def test_repeated_and_swapped_records_are_refused() -> None:
    for order in ([0, 0], [1, 0]):
        wire, server = connected(1)
        sealed = [server.seal(frame(2, uv(i))) for i in range(2)]
        if order[0] == 0:
            wire.feed(sealed[0])
        with pytest.raises(ProtocolError):
            wire.feed(sealed[order[-1] if order[0] == 0 else order[0]])


def test_a_server_without_the_pinned_key_cannot_finish() -> None:
    server = Responder(X25519PrivateKey.generate().private_bytes_raw())
    wire = Wire(1, 7, X25519PrivateKey.generate().public_key().public_bytes_raw())
    server.buffer = wire.start()
    hello = server.hello()
    assert hello is not None
    with pytest.raises(InvalidTag):
        server.accept(hello[1])
    with pytest.raises(ProtocolError):
        wire.feed((48).to_bytes(2, "big") + os.urandom(48))


def test_low_order_points_are_refused() -> None:
    with pytest.raises(ProtocolError):
        Wire(1, 7, bytes(32)).start()
    wire = Wire(1, 7, X25519PrivateKey.generate().public_key().public_bytes_raw())
    wire.start()
    with pytest.raises(ProtocolError):
        wire.feed((48).to_bytes(2, "big") + bytes(48))


def test_reject_carries_code_and_data() -> None:
    wire = Wire(1, 7, X25519PrivateKey.generate().public_key().public_bytes_raw())
    wire.start()
    with pytest.raises(HandshakeRejected) as caught:
        wire.feed(b"\0\0\x04\0\x01\x05")
    assert (caught.value.code, caught.value.data) == (4, b"\x05")


@pytest.mark.parametrize(
    "frames",
    [
        [frame(13), frame(2, b"\x01")],  # something behind REKEY
        [frame(2, b"\x01", ack=1)],  # an ack for what was never sent
        [frame(8, b"")],  # a client's frame
        [frame(2, b"\x01", flags=0x80)],
    ],
)
def test_server_faults_break_the_connection(frames: list[bytes]) -> None:
    wire, server = connected(1)
    with pytest.raises(ProtocolError):
        wire.feed(server.seal(*frames))


def test_an_empty_record_is_refused() -> None:
    wire, _ = connected(1)
    with pytest.raises(ProtocolError):
        wire.feed((16).to_bytes(2, "big") + bytes(16))


def test_nonces_run_out_instead_of_wrapping() -> None:
    cipher = ciphers.ChaChaPoly(bytes(32), ciphers.MAX_NONCE - 1)
    cipher.seal(b"last")
    with pytest.raises(ProtocolError):
        cipher.seal(b"one too many")


def test_large_bodies_are_compressed_for_the_server() -> None:
    wire, server = connected(1, compression=True)
    body = b"\x01\x05u/bob" + b"again and again " * 50
    wire.write(FrameType.SEND, body)
    sealed = wire.flush(0.0)
    assert len(sealed) < 200
    server.buffer += sealed
    assert server.frames()[0].body == body
    assert server.preamble[5] == c.PreambleFlag.ZSTD
