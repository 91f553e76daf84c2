"""Writes the test vectors of whole QW1 sessions, made without any of our codecs.

Handshakes come from `noiseprotocol` with fixed ephemeral keys, AES-GCM and ChaCha20-Poly1305 from
`cryptography`,
AEGIS-128L from plain Python (tests/support/noise_aegis128l.py). The result is
docs/vectors/qw1-sessions.json, from which tools/generate.py writes the page; `--check` only compares.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import hmac
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, ChaCha20Poly1305
from noise.connection import Keypair, NoiseConnection

if __package__ in (None, ""):
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from tests.support import noise_aegis128l as aegis128l

ROOT = Path(__file__).resolve().parent.parent
JSON_FILE = ROOT / "docs" / "vectors" / "qw1-sessions.json"
MAX_NONCE = 2**64 - 1
KEY_ID = 7

Aead = Callable[[bytes, int, bytes], bytes]


Vector: TypeAlias = "dict[str, Any]"


def fill(start: int, size: int = 32) -> bytes:
    """start, start + 1, ...: keys nobody uses by accident."""
    return bytes((start + i) % 256 for i in range(size))


FIXED = {
    "root_seed": fill(0x00),
    "server_static_private": fill(0x20),
    "client_ephemeral_private": fill(0x40),
    "server_ephemeral_private": fill(0x60),
    "token_seed": fill(0x80),
    "psk": fill(0xC0),
    "ticket": b"opaque to clients " + fill(0xE0),
    "next_psk": fill(0x10),
    "websocket_key": fill(0xA0, 16),
    "websocket_mask": bytes.fromhex("37fa213d"),
}

SUITES: dict[int, tuple[str, str, Aead, int]] = {
    1: (
        "ChaChaPoly",
        "Noise_NK_25519_ChaChaPoly_SHA256",
        lambda k, n, p: ChaCha20Poly1305(k).encrypt(bytes(4) + n.to_bytes(8, "little"), p, b""),
        32,
    ),
    2: (
        "AESGCM",
        "Noise_NK_25519_AESGCM_SHA256",
        lambda k, n, p: AESGCM(k).encrypt(n.to_bytes(12, "big"), p, b""),
        32,
    ),
    3: (
        "AEGIS-128L",
        "Noise_NK_25519_ChaChaPoly_SHA256",
        lambda k, n, p: aegis128l.encrypt(k, bytes(8) + n.to_bytes(8, "little"), p),
        16,
    ),
}


def uv(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def msgpack(value: Any) -> bytes:
    """The subset of msgpack that QW1 bodies use, shortest forms."""
    if value is None:
        return b"\xc0"
    if isinstance(value, bool):
        return b"\xc3" if value else b"\xc2"
    if isinstance(value, int):
        for limit, head, size in (
            (1 << 8, 0xCC, 1),
            (1 << 16, 0xCD, 2),
            (1 << 32, 0xCE, 4),
            (1 << 64, 0xCF, 8),
        ):
            if 0 <= value < 128:
                return bytes([value])
            if 0 <= value < limit:
                return bytes([head]) + value.to_bytes(size, "big")
        raise ValueError("the vectors need no negative numbers")
    if isinstance(value, str):
        data = value.encode()
        start = bytes([0xA0 | len(data)]) if len(data) < 32 else b"\xd9" + bytes([len(data)])
        return start + data
    if isinstance(value, bytes):
        return b"\xc4" + bytes([len(value)]) + value
    if isinstance(value, list):
        return bytes([0x90 | len(value)]) + b"".join(map(msgpack, value))
    if isinstance(value, dict):
        items = b"".join(msgpack(k) + msgpack(v) for k, v in value.items())
        return bytes([0x80 | len(value)]) + items
    raise TypeError(type(value))


def frame(kind: int, body: bytes = b"", ack: int | None = None) -> bytes:
    head = bytes([kind | (0x40 if ack is not None else 0)]) + (uv(ack) if ack is not None else b"")
    return head + uv(len(body)) + body


def b64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def make_token() -> str:
    """A JWT as the control plane signs them (EdDSA is deterministic, so this is fixed)."""
    header = {"alg": "Ed25519", "kid": "vectors", "typ": "JWT"}
    claims = {"iss": "qianwan", "aud": "qianwan", "sub": "alice", "iat": 1700000000, "exp": 1700003600}
    signed = ".".join(b64url(json.dumps(part, separators=(",", ":")).encode()) for part in (header, claims))
    key = Ed25519PrivateKey.from_private_bytes(FIXED["token_seed"])
    return signed + "." + b64url(key.sign(signed.encode()))


def key_set() -> bytes:
    root = Ed25519PrivateKey.from_private_bytes(FIXED["root_seed"])
    public = X25519PrivateKey.from_private_bytes(FIXED["server_static_private"]).public_key()
    body = b"QWKS\x01" + (1700000000).to_bytes(4, "big") + b"\x01" + KEY_ID.to_bytes(2, "big")
    body += public.public_bytes_raw() + (1699990000).to_bytes(4, "big") + (1705000000).to_bytes(4, "big")
    return body + root.sign(body)


class Direction:
    """One direction's key and counter."""

    def __init__(self, aead: Aead, key: bytes) -> None:
        self.aead, self.key, self.n = aead, key, 0

    def record(self, plain: bytes) -> bytes:
        sealed = self.aead(self.key, self.n, plain)
        self.n += 1
        return len(sealed).to_bytes(2, "big") + sealed

    def rekey(self) -> None:
        size = len(self.key)
        self.key = self.aead(self.key, MAX_NONCE, bytes(size))[:size]


def handshake(
    name: bytes, prologue: bytes, payload2: bytes, payload1: bytes = b""
) -> tuple[bytes, bytes, NoiseConnection]:
    """(message 1, message 2, the client's finished state)."""
    server_public = X25519PrivateKey.from_private_bytes(FIXED["server_static_private"]).public_key()
    client, server = NoiseConnection.from_name(name), NoiseConnection.from_name(name)
    client.set_as_initiator()
    server.set_as_responder()
    if b"NK" in name:
        client.set_keypair_from_public_bytes(Keypair.REMOTE_STATIC, server_public.public_bytes_raw())
        server.set_keypair_from_private_bytes(Keypair.STATIC, FIXED["server_static_private"])
    client.set_keypair_from_private_bytes(Keypair.EPHEMERAL, FIXED["client_ephemeral_private"])
    server.set_keypair_from_private_bytes(Keypair.EPHEMERAL, FIXED["server_ephemeral_private"])
    for side in (client, server):
        side.set_prologue(prologue)
        if b"psk0" in name:
            side.set_psks(FIXED["psk"])
        side.start_handshake()
    message1 = bytes(client.write_message(payload1))
    server.read_message(message1)
    message2 = bytes(server.write_message(payload2))
    client.read_message(message2)
    return message1, message2, client


def auth_body(token: bytes, handshake_hash: bytes) -> bytes:
    binding = hmac.digest(hashlib.sha256(token).digest(), b"qw1 auth" + handshake_hash, "sha256")
    device = b"vectors"
    return (
        b"\x01" + uv(len(token)) + token + uv(len(binding)) + binding
        + uv(len(device)) + device + b"\x06" + uv(0)
    )  # fmt: skip


STORED = [7000000000000000001, 1, 1700000000789]
ANSWER = ["s/alice:bob", 2, 7000000000000000002, 1700000001000, "bob", "b-1", 0, {"text": "hi"}]
SAID = (
    bytes((5, 5)) + b"lobby",
    bytes.fromhex("01 8680e0bbb2baffa4c201 d2afabfef962 06") + b"eve" + b"\x03all",
    bytes.fromhex("01 80808004 02 01") + b"\x02ok",
)
"""ROOM_MESSAGES: eve says "all" (id 7000000000000000003, time 1700000001001) and a millisecond later "ok"."""
REST: list[Any] = [{}, None, 0]  # options, ext, flags


def talk(auth: bytes) -> list[tuple[str, str, list[bytes]]]:
    """(name, who, frames of one record): everything said after the handshake."""
    welcome = [bytes(range(8)), "alice", 1700000000456, 1, 60, "gate1"]
    send = uv(1) + uv(5) + b"u/bob" + msgpack(["c-1", 0, {"text": "hello"}, None, None])
    clock = uv(2) + uv(0) + msgpack({"server_time_ms": 1700000002000})
    refusal = uv(300) + uv(404) + msgpack(["no such method"])
    rekey = frame(13)
    there, proxied = b"tcp://192.0.2.8:7801", b"wss://im.example/qw1"
    goaway = uv(3000) + uv(2000) + uv(5000) + b"\x02"
    goaway += uv(len(there)) + there + uv(len(proxied)) + proxied + b"draining"
    return [
        ("AUTH", "client", [frame(4, auth)]),
        ("AUTH_OK", "server", [frame(5, msgpack(welcome))]),
        ("SEND to u/bob", "client", [frame(8, send)]),
        ("SEND_ACK", "server", [frame(9, uv(1) + uv(0) + msgpack(STORED))]),
        (
            "MSG, and an EVENT in the same record",
            "server",
            [frame(6, msgpack(ANSWER + REST)), frame(7, b"".join(SAID))],
        ),
        ("PING with ack 1", "client", [frame(1, b"\x00" + uv(60), ack=1)]),
        ("PONG", "server", [frame(2, uv(1))]),
        ("CALL time, then REKEY", "client", [frame(10, uv(2) + uv(4) + b"time" + msgpack({})), rekey]),
        ("RETURN, then REKEY", "server", [frame(11, clock), rekey]),
        (
            "CALL of an unknown method, under the new key",
            "client",
            [frame(10, uv(300) + uv(4) + b"nope" + msgpack({}))],
        ),
        ("RETURN 404, under the new key", "server", [frame(11, refusal)]),
        ("GOAWAY with two addresses", "server", [frame(15, goaway)]),
        ("CLOSE", "client", [frame(16, uv(1000))]),
    ]


def conversation(suite: int) -> Vector:
    """A whole session: who sends what, in plain and on the wire."""
    title, noise_name, _, _ = SUITES[suite]
    preamble = b"QW\x01\x01" + bytes([suite, 0]) + KEY_ID.to_bytes(2, "big")
    clock = uv(1700000000123)
    hello = b"\x01" + uv(len(clock)) + clock + b"\x02" + uv(5) + b"gate1"
    shaken = handshake(noise_name.encode(), preamble, hello)
    flights = [
        ("preamble", "client", preamble, preamble),
        ("handshake message 1", "client", b"", sized(shaken[0])),
        ("handshake message 2", "server", hello, sized(shaken[1])),
    ]
    said = talk(auth_body(make_token().encode(), shaken[2].get_handshake_hash()))
    return written(suite, title, noise_name, shaken[2], flights, said)


def resumption(suite: int, pattern: str) -> Vector:
    """A session that is taken up again behind its second MSG."""
    cipher = SUITES[suite][1].split("_")[3]
    noise_name = f"Noise_{pattern}_25519_{cipher}_SHA256"
    lite = pattern == "NNpsk0"
    preamble = b"QW\x01" + bytes([3 if lite else 2, suite, 2]) + (0 if lite else KEY_ID).to_bytes(2, "big")
    prologue = preamble + bytes([len(FIXED["ticket"])]) + FIXED["ticket"]
    clock = uv(1700000100123)
    hello = b"\x01" + uv(len(clock)) + clock + b"\x02" + uv(5) + b"gate1"
    seen, age = uv(2), uv(61500)
    fields = b"\x01" + uv(len(seen)) + seen + b"\x02" + uv(len(age)) + age
    message1, message2, client = handshake(noise_name.encode(), prologue, hello, fields)
    flights = [
        ("preamble and ticket", "client", prologue, prologue),
        ("handshake message 1 with RESUME_SEEN 2 and TICKET_AGE_MS 61500", "client", fields, sized(message1)),
        ("handshake message 2", "server", hello, sized(message2)),
    ]
    missed = ["s/alice:bob", 4, 7000000000000000009, 1700000099000, "bob", "b-3", 0, {"text": "missed"}]
    ticket = uv(86400) + FIXED["next_psk"] + bytes([8]) + b"another1"
    said: Said = [
        (
            "RESUME_OK (rooms were left) and MSG number 3",
            "server",
            [frame(19, uv(3) + uv(3) + b"\x02"), frame(6, msgpack(missed + REST))],
        ),
        ("ACK of 3", "client", [frame(3, ack=3)]),
        ("TICKET", "server", [frame(14, ticket)]),
        ("CLOSE", "client", [frame(16, uv(1000))]),
    ]
    return written(suite, f"{SUITES[suite][0]}, {pattern}", noise_name, client, flights, said)


def sized(message: bytes) -> bytes:
    return len(message).to_bytes(2, "big") + message


Said = list[tuple[str, str, list[bytes]]]


def written(
    suite: int,
    title: str,
    noise_name: str,
    client: NoiseConnection,
    flights: list[tuple[str, str, bytes, bytes]],
    said: Said,
) -> Vector:
    """The flights of the handshake, and the records behind it."""
    _, _, aead, key_size = SUITES[suite]
    protocol, handshake_hash = client.noise_protocol, client.get_handshake_hash()
    directions = {
        "client": Direction(aead, protocol.cipher_state_encrypt.k[:key_size]),
        "server": Direction(aead, protocol.cipher_state_decrypt.k[:key_size]),
    }
    keys = {
        "client_to_server": directions["client"].key.hex(),
        "server_to_client": directions["server"].key.hex(),
    }
    for name, who, frames in said:
        plain = b"".join(frames)
        flights.append((name, who, plain, directions[who].record(plain)))
        if frames[-1][0] == 13:
            directions[who].rekey()
    return {
        "suite": suite,
        "title": title,
        "noise": noise_name,
        "handshake_hash": handshake_hash.hex(),
        "keys": keys,
        "steps": [
            {"name": name, "from": who, "plain": plain.hex(), "wire": wire.hex()}
            for name, who, plain, wire in flights
        ],
    }


def websocket(preamble: bytes) -> dict[str, str]:
    """The upgrade, and the preamble as the first binary message."""
    key = base64.b64encode(FIXED["websocket_key"])
    accept = base64.b64encode(hashlib.sha1(key + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest())
    mask = FIXED["websocket_mask"]
    masked = bytes(byte ^ mask[i % 4] for i, byte in enumerate(preamble))
    return {
        "key": key.decode(),
        "accept": accept.decode(),
        "first_message": (bytes([0x82, 0x80 | len(preamble)]) + mask + masked).hex(),
    }


def vectors() -> Vector:
    root = Ed25519PrivateKey.from_private_bytes(FIXED["root_seed"]).public_key().public_bytes_raw()
    keys = key_set()
    server_public = X25519PrivateKey.from_private_bytes(FIXED["server_static_private"]).public_key()
    return {
        "fixed": {name: value.hex() for name, value in FIXED.items()},
        "key_id": KEY_ID,
        "root_public": root.hex(),
        "root_text": "qwroot1." + b64url(root),
        "server_static_public": server_public.public_bytes_raw().hex(),
        "token": make_token(),
        "key_set": keys.hex(),
        "reject_unknown_key": (b"\0\0\x03" + len(keys).to_bytes(2, "big") + keys).hex(),
        "reject_overloaded": (b"\0\0\x04\0\x02" + uv(1500)).hex(),
        "websocket": websocket(bytes.fromhex("5157010101000007")),
        "sessions": [conversation(suite) for suite in SUITES],
        "resumptions": [*(resumption(suite, "NKpsk0") for suite in SUITES), resumption(1, "NNpsk0")],
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="compare with what is committed, write nothing")
    check = parser.parse_args().check
    text = json.dumps(vectors(), indent=1) + "\n"
    if not check:
        JSON_FILE.parent.mkdir(parents=True, exist_ok=True)
        JSON_FILE.write_text(text)
    elif not JSON_FILE.exists() or JSON_FILE.read_text() != text:
        print(f"{JSON_FILE.relative_to(ROOT)} is stale: run tools/make_session_vectors.py")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
