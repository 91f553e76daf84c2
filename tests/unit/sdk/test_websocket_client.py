"""The client half of RFC 6455, against the server's parser and with what a bad server may send."""

from __future__ import annotations

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st
from qianwan.connection.dial import wait_of
from qianwan.errors import HandshakeRejected, ProtocolError
from qianwan.protocol.websocket import WebSocketClient, mask

from frame import http_upgrade
from frame import websocket as server


def opened() -> WebSocketClient:
    client = WebSocketClient("127.0.0.1:7801", "/qw1")
    request = client.request()
    used, upgrade = http_upgrade.parse(request)
    assert used == len(request)
    assert upgrade is not None
    assert (upgrade.status, upgrade.has_qw1) == (101, True)
    answer = http_upgrade.build_response(upgrade.key, upgrade.has_qw1)
    for byte in answer[:-1]:
        assert client.receive(bytes([byte])) == b""
    assert not client.open
    assert client.receive(answer[-1:] + frame(2, b"early")) == b"early"
    assert client.open
    return client


def frame(opcode: int, payload: bytes, fin: bool = True) -> bytes:
    head = bytearray(server.build_header(opcode, len(payload)))
    if not fin:
        head[0] &= 0x7F
    return bytes(head) + payload


@given(st.binary(max_size=300), st.binary(min_size=4, max_size=4))
def test_masking_agrees_with_the_server(payload: bytes, key: bytes) -> None:
    assert mask(payload, key) == server.apply_mask(payload, key)


@pytest.mark.parametrize("size", [0, 1, 125, 126, 65535, 65536, 100_000])
def test_the_server_reads_our_frames(size: int) -> None:
    payload = os.urandom(size)
    packed = WebSocketClient("h", "/qw1").wrap(payload)
    used, header = server.parse_header(packed)
    assert header is not None
    assert header.mask is not None
    assert (header.opcode, header.fin, header.payload_len) == (2, True, size)
    assert server.apply_mask(packed[used:], header.mask) == payload


def test_messages_are_one_byte_stream_however_they_are_cut() -> None:
    client = opened()
    stream = frame(2, b"a" * 200) + frame(2, b"", fin=False) + frame(9, b"?") + frame(0, b"b" * 70000)
    got = b"".join(client.receive(stream[at : at + 7]) for at in range(0, len(stream), 7))
    assert got == b"a" * 200 + b"b" * 70000
    used, header = server.parse_header(bytes(client.outgoing))
    assert header is not None
    assert header.mask is not None
    assert header.opcode == 10
    assert server.apply_mask(bytes(client.outgoing[used:]), header.mask) == b"?"


def test_the_closing_handshake_is_answered() -> None:
    client = opened()
    assert client.receive(frame(2, b"last") + frame(8, (4003).to_bytes(2, "big") + b"bye") + b"x") == b"last"
    assert client.closed == 4003
    assert client.outgoing[:1] == b"\x88"


@pytest.mark.parametrize(
    "data",
    [
        frame(1, b"text"),
        frame(0, b"continues nothing"),
        frame(2, b"a", fin=False) + frame(2, b"b"),
        b"\xc2\x00",  # reserved bit
        b"\x82\x81\0\0\0\0x",  # masked
        b"\x82\x7e\x00\x05hello",  # length not minimal
        b"\x82\x7f\x00\x00\x00\x00\x7f\xff\xff\xff",  # too long
        b"\x09\x00",  # fragmented control frame
        b"\x88\x01\x03",  # half a close code
        b"\x8b\x00",  # unknown control opcode
    ],
)
def test_faults_of_the_server_are_refused(data: bytes) -> None:
    with pytest.raises(ProtocolError):
        opened().receive(data)


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 404 Not Found\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nSec-WebSocket-Accept: wrong\r\n\r\n",
        b"nonsense\r\n\r\n",
        b"x" * 9000,
    ],
)
def test_a_refused_upgrade_is_an_error(answer: bytes) -> None:
    client = WebSocketClient("h", "/qw1")
    client.request()
    with pytest.raises(ProtocolError):
        client.receive(answer)


def test_a_busy_server_is_one_that_asks_to_wait() -> None:
    client = WebSocketClient("h", "/qw1")
    client.request()
    with pytest.raises(HandshakeRejected) as refused:
        client.receive(http_upgrade.build_later(30))
    wait = wait_of(refused.value)
    assert wait is not None
    assert wait.least_s == 30
    proxy = WebSocketClient("h", "/qw1")
    proxy.request()
    with pytest.raises(ProtocolError):
        proxy.receive(b"HTTP/1.1 503 Service Unavailable\r\n\r\n")
