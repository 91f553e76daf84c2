"""The sessions of docs/PROTOCOL.md, byte for byte, against the SDK and against the server's own codecs."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from qianwan.errors import HandshakeRejected
from qianwan.protocol import auth, keyset, messages, websocket
from qianwan.protocol.frames import Frame
from qianwan.protocol.room_messages import parse_room_messages
from qianwan.protocol.tickets import Offer, Ticket, parse_resumed, parse_ticket
from qianwan.protocol.wire import State, Wire

import crypto.noise
from crypto import key_set as server_key_set
from crypto.handshake import HandshakeState
from frame import frames as server_frames
from frame import preamble as server_preamble
from frame import record as server_record
from tests.conformance.stranger.stranger_client import read_goaway, read_room_messages

ROOT = Path(__file__).resolve().parents[3]
VECTORS = json.loads((ROOT / "docs" / "vectors" / "qw1-sessions.json").read_text())
FIXED = {name: bytes.fromhex(value) for name, value in VECTORS["fixed"].items()}
SESSIONS = pytest.mark.parametrize("session", VECTORS["sessions"], ids=lambda session: session["title"])
RESUMPTIONS = pytest.mark.parametrize("session", VECTORS["resumptions"], ids=lambda session: session["title"])
SERVER_PUBLIC = bytes.fromhex(VECTORS["server_static_public"])


def steps(session: dict[str, Any]) -> list[tuple[str, bytes, bytes]]:
    return [
        (step["from"], bytes.fromhex(step["plain"]), bytes.fromhex(step["wire"])) for step in session["steps"]
    ]


def server_split(plain: bytes) -> list[Any]:
    """All frames of a record, by the server's parser."""
    found = []
    while plain:
        used, parsed = server_frames.parse(plain)
        assert used > 0
        found.append(parsed)
        plain = plain[used:]
    return found


def client_wire(suite: int) -> Wire:
    return Wire(
        suite,
        VECTORS["key_id"],
        SERVER_PUBLIC,
        compression=False,
        ephemeral_private=FIXED["client_ephemeral_private"],
    )


def test_vectors_and_page_are_what_the_tool_makes() -> None:
    command = [sys.executable, "-W", "ignore", str(ROOT / "tools" / "make_session_vectors.py"), "--check"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@SESSIONS
def test_sdk_speaks_the_session_byte_for_byte(session: dict[str, Any]) -> None:
    wire = client_wire(session["suite"])
    flights = steps(session)
    assert wire.start() == flights[0][2] + flights[1][2]
    assert wire.feed(flights[2][2]) == []
    assert wire.handshake_hash.hex() == session["handshake_hash"]
    assert (wire.server_time_ms, wire.node) == (1700000000123, "gate1")
    for sender, plain, sealed in flights[3:]:
        expected = server_split(plain)
        now = 0.0
        if sender == "server":
            shown = [(frame.type, frame.body) for frame in wire.feed(sealed)]
            assert shown == [(frame.type, frame.body) for frame in expected]
            continue
        for frame in expected:
            if frame.type == 13:
                now = 900.0  # the wire rekeys by itself when its key is 15 minutes old
            else:
                assert frame.type != 4 or frame.body == auth.auth_body(
                    auth.Credentials(VECTORS["token"], "vectors", 6), wire.handshake_hash
                )
                due = wire.received > wire.acked
                assert due == (frame.ack is not None)
                wire.write(frame.type, frame.body)
        assert wire.flush(now) == sealed


@SESSIONS
def test_everybody_reads_the_same_room_messages_out_of_the_session(session: dict[str, Any]) -> None:
    records = [plain for sender, plain, _ in steps(session)[3:] if sender == "server"]
    (event,) = (frame.body for plain in records for frame in server_split(plain) if frame.type == 7)
    said = [
        ("eve", 7000000000000000003, 1700000001001, "all"),
        ("eve", 7000000000004194307, 1700000001002, "ok"),
    ]
    assert [(m[4], m[2], m[3], m[7]["text"]) for m in read_room_messages(event)] == said
    known = parse_room_messages(event[1:])
    assert [(m.sender, m.server_id, m.time_ms, m.text) for m in known] == said
    room, server = server_frames.parse_room_messages(event)
    assert [(m.sender.decode(), m.server_id, m.time_ms, m.content.decode()) for m in server] == said
    assert (room, {m.conversation for m in known}) == (b"lobby", {"r/lobby"})


@RESUMPTIONS
def test_sdk_takes_up_the_session_byte_for_byte(session: dict[str, Any]) -> None:
    ticket = Ticket(FIXED["psk"], FIXED["ticket"], 86400, 0.0)
    offer = Offer(ticket, 2, lite="NNpsk0" in session["noise"])
    wire = Wire(
        session["suite"],
        VECTORS["key_id"],
        SERVER_PUBLIC,
        compression=False,
        known=True,
        ephemeral_private=FIXED["client_ephemeral_private"],
        offer=offer,
    )
    flights = steps(session)
    # the order of the fields is free
    assert sorted(offer.payload(61.5)) == sorted(flights[1][1])
    assert wire.start(flights[1][1]) == flights[0][2] + flights[1][2]
    assert wire.feed(flights[2][2]) == []
    assert wire.handshake_hash.hex() == session["handshake_hash"]
    resumed, missed = wire.feed(flights[3][2])
    assert parse_resumed(resumed.body) == (3, 3, 2)
    assert (missed.type, wire.received) == (6, 3)
    wire.write(3)
    assert wire.flush(0.0) == flights[4][2]
    (given,) = wire.feed(flights[5][2])
    assert parse_ticket(given.body, 5.0) == Ticket(FIXED["next_psk"], b"another1", 86400, 5.0)


@RESUMPTIONS
def test_server_codecs_take_up_the_session_byte_for_byte(session: dict[str, Any]) -> None:
    flights = steps(session)
    pattern = "NNpsk0" if "NNpsk0" in session["noise"] else "NKpsk0"
    server = HandshakeState(
        pattern,
        session["suite"],
        False,
        flights[0][2],
        s=FIXED["server_static_private"] if pattern == "NKpsk0" else None,
        e=FIXED["server_ephemeral_private"],
        psk=FIXED["psk"],
    )
    assert server.read_message(flights[1][2][2:]) == flights[1][1]
    message = server.write_message(flights[2][1])
    assert len(message).to_bytes(2, "big") + message == flights[2][2]


@SESSIONS
def test_sdk_reads_the_session_in_any_pieces(session: dict[str, Any]) -> None:
    stream = b"".join(wire for sender, _, wire in steps(session) if sender == "server")
    whole = _replay(session, [stream])
    assert [frame.type for frame in whole] == [5, 9, 6, 7, 2, 11, 13, 11, 15]
    assert _replay(session, [bytes([byte]) for byte in stream]) == whole
    for cut in range(1, len(stream)):
        assert _replay(session, [stream[:cut], stream[cut:]]) == whole


def _replay(session: dict[str, Any], pieces: list[bytes]) -> list[Frame]:
    wire = client_wire(session["suite"])
    wire.start()
    return [frame for piece in pieces for frame in wire.feed(piece)]


@SESSIONS
def test_server_codecs_speak_the_session_byte_for_byte(session: dict[str, Any]) -> None:
    flights = steps(session)
    preamble, message1 = flights[0][2], flights[1][2]
    used, parsed = server_preamble.parse(preamble)
    assert used == 8
    assert parsed is not None
    assert (parsed.version, parsed.pattern, parsed.suite, parsed.flags) == (1, 1, session["suite"], 0)
    assert parsed.key_id == VECTORS["key_id"]
    response = crypto.noise.respond(
        session["suite"],
        preamble,
        FIXED["server_static_private"],
        message1[2:],
        flights[2][1],
        FIXED["server_ephemeral_private"],
    )
    assert len(response.message).to_bytes(2, "big") + response.message == flights[2][2]
    channel = response.channel
    assert channel.handshake_hash.hex() == session["handshake_hash"]
    for sender, plain, sealed in flights[3:]:
        if sender == "client":
            used, inner = server_record.parse(sealed)
            assert used == len(sealed)
            assert inner is not None
            assert channel.rx.open(inner) == plain
        else:
            assert server_record.build(channel.tx.seal(plain)) == sealed
        if server_split(plain)[-1].type == 13:
            (channel.rx if sender == "client" else channel.tx).rekey()


def test_both_sides_read_the_key_set_alike() -> None:
    data, root = bytes.fromhex(VECTORS["key_set"]), bytes.fromhex(VECTORS["root_public"])
    ours, theirs = keyset.verify(data, root), server_key_set.verify(data, root)
    assert [tuple(key) for key in ours.keys] == [tuple(key) for key in theirs.keys]
    assert ours.issued_at == theirs.issued_at == 1700000000
    assert ours.choose(1700000000).public == SERVER_PUBLIC
    assert keyset.parse_root(VECTORS["root_text"]) == root == server_key_set.parse_root(VECTORS["root_text"])


@pytest.mark.parametrize(("name", "code"), [("reject_unknown_key", 3), ("reject_overloaded", 4)])
def test_rejects_are_read_in_any_pieces(name: str, code: int) -> None:
    data = bytes.fromhex(VECTORS[name])
    for cut in range(len(data)):
        wire = client_wire(1)
        wire.start()
        assert wire.feed(data[:cut]) == []
        with pytest.raises(HandshakeRejected) as caught:
            wire.feed(data[cut:])
        assert caught.value.code == code
        assert caught.value.data == data[5:]
        assert wire.state is State.REJECTED
    assert server_preamble.build_reject(code, data[5:]) == data


def test_websocket_vector() -> None:
    vector = VECTORS["websocket"]
    randoms = {16: FIXED["websocket_key"], 4: FIXED["websocket_mask"]}
    client = websocket.WebSocketClient("gate", "/qw1", random=lambda size: randoms[size])
    assert f"Sec-WebSocket-Key: {vector['key']}\r\n".encode() in client.request()
    answer = f"HTTP/1.1 101 Switching Protocols\r\nSec-WebSocket-Accept: {vector['accept']}\r\n\r\n"
    assert client.receive(answer.encode()) == b""
    assert client.open
    assert client.wrap(bytes.fromhex("5157010101000007")).hex() == vector["first_message"]


@SESSIONS
def test_the_goaway_of_the_page_names_its_addresses(session: dict[str, Any]) -> None:
    plain = next(plain for _, plain, _ in steps(session) if plain[:1] == b"\x0f")
    body = server_split(plain)[0].body
    there = ["tcp://192.0.2.8:7801", "wss://im.example/qw1"]
    assert read_goaway(body) == (3000, 2000, 5000, there, "draining")
    assert messages.parse_goaway(body) == (3000, 2000, 5000, tuple(there), "draining")
