"""Other implementations write, this one reads, and the other way round: wsproto and websockets."""

from __future__ import annotations

import base64

import pytest
import websockets.client
import websockets.frames
import websockets.http11
import websockets.server
import websockets.uri
import wsproto
import wsproto.events
import wsproto.utilities
from hypothesis import given, settings
from hypothesis import strategies as st

from frame import http_upgrade, websocket
from frame.models import WsHeader

SIZES = [0, 1, 125, 126, 127, 65535, 65536]


def taken_apart(data: bytes) -> list[tuple[WsHeader, bytes]]:
    """Every frame of data, payloads unmasked."""
    found = []
    while data:
        used, header = websocket.parse_header(data)
        assert used > 0
        assert header is not None
        payload = data[used : used + header.payload_len]
        assert len(payload) == header.payload_len
        found.append((header, websocket.apply_mask(payload, header.mask) if header.mask else payload))
        data = data[used + header.payload_len :]
    return found


@pytest.mark.parametrize("size", SIZES)
def test_messages_of_websockets_are_read(size: int) -> None:
    payload = bytes(i % 251 for i in range(size))
    frame = websockets.frames.Frame(websockets.frames.Opcode.BINARY, payload)
    for mask in (True, False):
        [(header, body)] = taken_apart(frame.serialize(mask=mask))
        assert (header.opcode, header.fin, header.mask is not None) == (2, True, mask)
        assert body == payload


def wsproto_pair() -> tuple[wsproto.WSConnection, wsproto.WSConnection]:
    client = wsproto.WSConnection(wsproto.ConnectionType.CLIENT)
    server = wsproto.WSConnection(wsproto.ConnectionType.SERVER)
    server.receive_data(client.send(wsproto.events.Request(host="h", target="/qw1", subprotocols=["qw1"])))
    list(server.events())
    client.receive_data(server.send(wsproto.events.AcceptConnection(subprotocol="qw1")))
    list(client.events())
    return client, server


def bytes_received(peer: wsproto.WSConnection) -> bytes:
    """What the binary messages a peer has taken carry together."""
    return b"".join(bytes(e.data) for e in peer.events() if isinstance(e, wsproto.events.BytesMessage))


@pytest.mark.parametrize("size", SIZES)
def test_messages_of_wsproto_are_read_and_ours_are_read_by_it(size: int) -> None:
    payload = bytes(i % 251 for i in range(size))
    client, server = wsproto_pair()
    sent = client.send(wsproto.events.BytesMessage(payload, message_finished=False))
    sent += client.send(wsproto.events.Ping(b"now"))
    sent += client.send(wsproto.events.BytesMessage(b"end", message_finished=True))
    sent += client.send(wsproto.events.CloseConnection(1000, "done"))
    parts = taken_apart(sent)
    assert [(h.opcode, h.fin) for h, _ in parts] == [(2, False), (9, True), (0, True), (8, True)]
    assert [body for _, body in parts[:3]] == [payload, b"now", b"end"]
    assert websocket.parse_close(parts[3][1]) == (1, 1000)

    client, server = wsproto_pair()
    client.receive_data(websocket.build_header(2, size) + payload)
    assert bytes_received(client) == payload
    mask = b"\x01\x80\xff\x00"
    server.receive_data(websocket.build_header(2, size, mask) + websocket.apply_mask(payload, mask))
    assert bytes_received(server) == payload


def test_the_handshake_of_wsproto_is_taken_and_ours_is_taken_by_it() -> None:
    client = wsproto.WSConnection(wsproto.ConnectionType.CLIENT)
    data = client.send(
        wsproto.events.Request(host="h:7801", target="/qw1?a=b", subprotocols=["x", "qw1"], extra_headers=[])
    )
    used, request = http_upgrade.parse(data)
    assert used == len(data)
    assert request is not None
    assert (request.status, request.path, request.query, request.has_qw1) == (101, b"/qw1", b"a=b", True)
    client.receive_data(http_upgrade.build_response(request.key, request.has_qw1))
    [event] = list(client.events())
    assert isinstance(event, wsproto.events.AcceptConnection)
    assert event.subprotocol == "qw1"


def test_the_handshake_of_websockets_is_taken_and_ours_is_taken_by_it() -> None:
    uri = websockets.uri.parse_uri("ws://gateway.example:7801/qw1")
    client = websockets.client.ClientProtocol(uri, subprotocols=[websockets.Subprotocol("qw1")])
    client.send_request(client.connect())
    data = b"".join(client.data_to_send())
    used, request = http_upgrade.parse(data)
    assert used == len(data)
    assert request is not None
    assert (request.status, request.host, request.has_qw1) == (101, b"gateway.example:7801", True)
    client.receive_data(http_upgrade.build_response(request.key, request.has_qw1))
    assert client.handshake_exc is None
    assert client.state is websockets.State.OPEN
    assert client.subprotocol == "qw1"


@pytest.mark.parametrize("status", [400, 404, 426])
def test_refusals_are_understood_by_websockets(status: int) -> None:
    client = websockets.client.ClientProtocol(websockets.uri.parse_uri("ws://h/qw1"))
    client.send_request(client.connect())
    client.data_to_send()
    client.receive_data(http_upgrade.build_refusal(status))
    client.receive_eof()
    assert isinstance(client.handshake_exc, websockets.InvalidStatus)
    assert client.handshake_exc.response.status_code == status


def test_a_busy_answer_is_understood_by_websockets() -> None:
    client = websockets.client.ClientProtocol(websockets.uri.parse_uri("ws://h/qw1"))
    client.send_request(client.connect())
    client.data_to_send()
    client.receive_data(http_upgrade.build_later(30))
    client.receive_eof()
    assert isinstance(client.handshake_exc, websockets.InvalidStatus)
    response = client.handshake_exc.response
    assert (response.status_code, response.headers["Retry-After"]) == (503, "30")


@given(st.binary(min_size=16, max_size=16))
@settings(deadline=None)
def test_accept_values_agree_with_wsproto(nonce: bytes) -> None:
    key = base64.b64encode(nonce)
    accept = wsproto.utilities.generate_accept_token(key)
    assert b"Sec-WebSocket-Accept: " + accept + b"\r\n" in http_upgrade.build_response(key, False)
