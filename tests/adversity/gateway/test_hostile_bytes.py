"""Bytes that no honest client sends: that connection ends quietly, the reason is counted, nobody notices."""

from __future__ import annotations

import random
import socket
import struct
import time
from collections.abc import Callable

import pytest
import zstandard

from frame import frames
from frame.constants import REKEY_RECORDS, CloseCode, FrameType
from gateway_core import EV_CALL
from tests.support.gateway_client import Gone, WireClient, auth_body, uv, wait_for
from tests.support.gateway_harness import GatewayHarness

Start = Callable[..., GatewayHarness]


def ends_quietly(client: WireClient) -> None:
    with pytest.raises(Gone):
        client.stream(1)


def reason_is(gateway: GatewayHarness, name: str) -> None:
    wait_for(lambda: gateway.reasons().get(name, 0) == 1, what=f"reason {name} in {gateway.reasons()}")


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"XYZ", "first_bytes"),
        (b"\x16\x03\x01\x02\x00", "first_bytes"),
        (b"QX" + bytes(20), "preamble"),
        (b"QW\x01\x01\x01\x00\x00\x01" + struct.pack(">H", 47) + bytes(47), "handshake_length"),
        (b"QW\x01\x01\x01\x00\x00\x01" + struct.pack(">H", 561) + bytes(561), "handshake_length"),
        (b"QW\x01\x01\x01\x00\x00\x01" + struct.pack(">H", 48) + bytes(48), "handshake_failed"),
        (b"QW\x01\x01\x01\x00\x00\x01" + struct.pack(">H", 48) + bytes(range(48)) + b"more", "before_auth"),
        (b"\r\n\r\n\x00\r\nQUIT\n" + bytes(12), "proxy_refused"),
        (b"GET /qw1 HTTP/9\r\n\r\n", "upgrade_malformed"),
        (b"GET /elsewhere HTTP/1.1\r\nHost: x\r\n\r\n", "upgrade_refused"),
        (b"GET /" + b"a" * 8000, "upgrade_malformed"),
    ],
)
def test_malformed_beginnings(gateway: GatewayHarness, data: bytes, reason: str) -> None:
    witness = gateway.login("witness")
    with socket.create_connection(("127.0.0.1", gateway.gateway.port), timeout=10) as sock:
        sock.sendall(data)
        reason_is(gateway, reason)
    assert witness.ping() == uv(0)


@pytest.mark.parametrize(
    ("plain", "reason"),
    [
        (b"\x81\x00", "frame"),
        (b"\x01\x80\x00", "frame"),
        (b"\x01\x05ab", "frame"),
        (b"\x08\x02\x01\x09", "frame_body"),
        (b"\x0a\x03\x01\x01\xff", "frame_body"),
        (b"\x01\x04\x01\x02\x03\x04", "frame_body"),
        (b"\x0d\x00\x01\x00", "rekey_place"),
        (b"\x28\x03\x05abc", "compressed"),
        (b"\x04\x00", "frame_type"),
        (b"\x06\x00", "frame_type"),
        (b"\x15\x00", "frame_type"),
        (b"\x41\x05\x00", "ack"),
        (b"\x10\x01\x80", "frame_body"),
    ],
)
def test_malformed_frames_of_a_session(gateway: GatewayHarness, plain: bytes, reason: str) -> None:
    witness = gateway.login("witness")
    client = gateway.login("evil")
    client.write(client.record(plain))
    rest = client.until_closed()
    polite = reason in ("frame_type", "ack")
    assert [frame.type for frame in rest] == ([FrameType.CLOSE] if polite else [])
    reason_is(gateway, reason)
    wait_for(lambda: gateway.closed_codes("evil") == [CloseCode.PROTOCOL_ERROR])
    assert witness.ping() == uv(0)


def test_unknown_skippable_types_and_padding_are_ignored(gateway: GatewayHarness) -> None:
    client = gateway.login("new")
    known = {FrameType.REPORT, FrameType.DICTIONARY}
    client.send(*(frames.build(type, b"later") for type in {*range(24, 32)} - known))
    assert client.ping() == uv(0)


def test_oversize_frames_are_told_too_big(start_gateway: Start) -> None:
    gateway = start_gateway(max_body=1000)
    client = gateway.login("big")
    client.frame(FrameType.CALL, bytes(1001))
    assert client.close_code() == CloseCode.TOO_BIG


def test_a_flipped_bit_ends_the_connection(gateway: GatewayHarness) -> None:
    client = gateway.login("ann")
    record = bytearray(client.record(frames.build(FrameType.PING)))
    record[5] ^= 1
    client.write(bytes(record))
    ends_quietly(client)
    reason_is(gateway, "aead")


def test_a_replayed_record_ends_the_connection(gateway: GatewayHarness) -> None:
    client = gateway.login("ann")
    record = client.record(frames.build(FrameType.PING))
    client.write(record + record)
    assert [frame.type for frame in client.until_closed()] in ([FrameType.PONG], [])
    reason_is(gateway, "aead")


def test_a_key_is_read_for_16384_records_and_no_more(start_gateway: Start) -> None:
    gateway = start_gateway(inbound_per_s=0)
    honest, lazy = gateway.login("honest"), gateway.login("lazy")
    padding = frames.build(FrameType.PADDING)
    for client in (honest, lazy):  # AUTH was the first record
        client.write(b"".join(client.record(padding) for _ in range(REKEY_RECORDS - 2)))
    honest.rekey()
    lazy.frame(FrameType.PADDING)
    for _ in range(2):
        honest.write(b"".join(honest.record(padding) for _ in range(REKEY_RECORDS - 1)))
        honest.rekey()
    assert honest.ping() == uv(0)
    assert lazy.close_code() == CloseCode.PROTOCOL_ERROR
    reason_is(gateway, "rekey_late")


def test_before_login_only_a_small_auth_is_heard(gateway: GatewayHarness) -> None:
    eager = gateway.connect().handshake()
    eager.frame(FrameType.PING)
    ends_quietly(eager)
    reason_is(gateway, "before_auth")
    big = gateway.connect().handshake()
    big.frame(FrameType.AUTH, auth_body(b"t" * 1100))
    ends_quietly(big)
    reason_is(gateway, "preauth_too_big")
    odd = gateway.connect().handshake()
    odd.frame(FrameType.AUTH, auth_body(b"t", device=b"no spaces"))
    ends_quietly(odd)
    reason_is(gateway, "auth_body")


def test_compressed_bombs_are_refused_before_they_are_inflated(gateway: GatewayHarness) -> None:
    fine = gateway.login("fine")
    raw = uv(1) + b"\x04time" + b"text " * 200
    packed = uv(len(raw)) + zstandard.ZstdCompressor().compress(raw)
    fine.write(fine.record(frames.build(FrameType.CALL, packed, compressed=True)))
    wait_for(lambda: gateway.of_kind(EV_CALL))
    assert gateway.of_kind(EV_CALL)[0][6] == b"text " * 200
    for i, bomb in enumerate((bytes(900_000), bytes(2 << 20))):
        client = gateway.login(f"bomb{i}")
        body = uv(len(bomb)) + zstandard.ZstdCompressor().compress(bomb)
        client.write(client.record(frames.build(FrameType.CALL, body, compressed=True)))
        ends_quietly(client)
    assert gateway.reasons()["compressed"] == 2


@pytest.mark.parametrize(
    ("data", "reason", "code"),
    [
        (b"\x82\x05abcde", "ws_malformed", 1002),
        (b"\xc2\x80\0\0\0\0", "ws_malformed", 1002),
        (b"\x83\x80\0\0\0\0", "ws_malformed", 1002),
        (b"\x80\x80\0\0\0\0", "ws_malformed", 1002),
        (b"\x81\x81\0\0\0\0a", "ws_text", 1003),
        (b"\x88\x82\0\0\0\0\x03\xe8", "ws_closed", 1000),
        (b"\x88\x81\0\0\0\0\x03", "ws_malformed", 1002),
    ],
)
def test_websocket_rules(gateway: GatewayHarness, data: bytes, reason: str, code: int) -> None:
    client = gateway.login("web", websocket=True)
    client.sock.sendall(data)
    assert client.until_closed() == []
    assert client.ws_close == code
    reason_is(gateway, reason)


def test_websocket_control_frames_between_fragments(gateway: GatewayHarness) -> None:
    client = gateway.login("web", websocket=True)
    record = client.record(frames.build(FrameType.PING))
    pieces = (
        client.wrap(record[:3], 2, False)
        + client.wrap(b"are you there", 9)
        + client.wrap(record[3:7], 0, False)
    )
    pieces += client.wrap(b"", 10) + client.wrap(record[7:], 0, True)
    for at in range(len(pieces)):
        client.sock.sendall(pieces[at : at + 1])
    assert client.expect(FrameType.PONG) == uv(0)


def test_random_bytes_at_every_stage(gateway: GatewayHarness) -> None:
    seed = time.time_ns()
    print("seed", seed)
    chance = random.Random(seed)
    witness = gateway.login("witness")
    for i in range(120):
        stage = chance.randrange(5)
        client = gateway.connect(websocket=stage == 4)
        noise = chance.randbytes(chance.randrange(1, 3000))
        if stage == 0:
            client.write(noise)
        elif stage == 1:
            client.write(client.prologue + noise)
        elif stage == 2:
            client.handshake().write(noise)
        elif stage == 3:
            client.handshake().auth(f"u{i}")
            client.write(noise if i & 1 else client.record(noise))
        else:
            client.sock.sendall(noise)
        client.close()
    assert witness.ping() == uv(0)
