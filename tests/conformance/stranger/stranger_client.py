"""A client of QW1 written from docs/PROTOCOL.md alone, with `noiseprotocol` and the standard library.

It blocks, it never reconnects, it knows suites 1 and 2. If it works, the page is complete.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import os
import socket
import time
from typing import Any, NamedTuple

from noise.connection import Keypair, NoiseConnection

from tests.conformance.stranger import ed25519
from tests.conformance.stranger.tiny_msgpack import pack, unpack

SUITES = {1: b"Noise_NK_25519_ChaChaPoly_SHA256", 2: b"Noise_NK_25519_AESGCM_SHA256"}
PING, PONG, ACK, AUTH, AUTH_OK, MSG, EVENT, SEND, SEND_ACK, CALL, RETURN, POLICY, REKEY = range(1, 14)
GOAWAY, CLOSE, ERROR, REPORT = 15, 16, 17, 24


class Closed(Exception):
    """The stream ended; `code` is that of the CLOSE frame, 0 without one."""

    def __init__(self, code: int = 0, text: str = "") -> None:
        super().__init__(f"{code} {text}")
        self.code = code


class Rejected(Exception):
    def __init__(self, code: int, data: bytes) -> None:
        super().__init__(f"REJECT {code}")
        self.code, self.data = code, data


class Refused(Exception):
    """A request was answered with a code other than 0."""

    def __init__(self, code: int, payload: list[Any]) -> None:
        super().__init__(f"{code} {payload}")
        self.code, self.payload = code, payload


class GoAway(NamedTuple):
    """Section 8."""

    code: int
    retry_after_ms: int
    jitter_ms: int
    addresses: list[str]
    text: str


class Frame(NamedTuple):
    type: int
    body: bytes


def uv(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def read_uv(data: bytes, at: int = 0) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            return value, at


def frame(kind: int, body: bytes = b"", ack: int | None = None) -> bytes:
    head = bytes([kind]) if ack is None else bytes([kind | 0x40]) + uv(ack)
    return head + uv(len(body)) + body


def read_goaway(body: bytes) -> GoAway:
    """uv code | uv retry_after_ms | uv jitter_ms | u8 n | n x (uv len address) | text"""
    code, at = read_uv(body)
    retry, at = read_uv(body, at)
    jitter, at = read_uv(body, at)
    count, at = body[at], at + 1
    addresses = []
    for _ in range(count):
        size, at = read_uv(body, at)
        addresses.append(body[at : at + size].decode())
        at += size
    return GoAway(code, retry, jitter, addresses, body[at:].decode())


class KeySet(NamedTuple):
    issued_at: int
    keys: list[tuple[int, bytes, int, int]]  # id, public, not_before, not_after

    def best(self) -> tuple[int, bytes]:
        now = time.time()
        key_id, public, _, _ = max((k for k in self.keys if k[2] <= now < k[3]), key=lambda k: k[2])
        return key_id, public


def read_key_set(data: bytes, root_text: str) -> KeySet:
    """Section 3. ValueError when the root did not sign it."""
    prefix, _, body = root_text.partition(".")
    root = base64.urlsafe_b64decode(body + "=" * (-len(body) % 4))
    if prefix != "qwroot1" or not ed25519.verify(root, data[:-64], data[-64:]):
        raise ValueError("the key set is not signed by the pinned root")
    if data[:5] != b"QWKS\x01" or len(data) != 10 + 42 * data[9] + 64:
        raise ValueError("not a key set")
    keys = []
    for at in range(10, len(data) - 64, 42):
        numbers = [int.from_bytes(data[at + a : at + b], "big") for a, b in ((0, 2), (34, 38), (38, 42))]
        keys.append((numbers[0], data[at + 2 : at + 34], numbers[1], numbers[2]))
    return KeySet(int.from_bytes(data[5:9], "big"), keys)


def read_placement(signed: str, root_text: str, asked: dict[str, str], now: float) -> dict[str, Any]:
    """Section 4. ValueError for what is not believed."""
    data = base64.urlsafe_b64decode(signed + "=" * (-len(signed) % 4))
    prefix, _, body = root_text.partition(".")
    root = base64.urlsafe_b64decode(body + "=" * (-len(body) % 4))
    if prefix != "qwroot1" or not ed25519.verify(root, data[:-64], data[-64:]):
        raise ValueError("the answer is not signed by the pinned root")
    if data[:5] != b"QWLB\x01":
        raise ValueError("not an answer of an LBS")
    told: dict[str, Any] = json.loads(data[5:-64])
    if told["for"] != {"transport": "tcp", **asked}:
        raise ValueError("an answer to another question")
    if "nonce" not in asked and not told["issued_at"] - 60 <= now <= told["issued_at"] + told["ttl_s"] + 60:
        raise ValueError("an answer of another time")
    return told


class TcpStream:
    """Section 5, TCP."""

    def __init__(self, host: str, port: int) -> None:
        self.socket = socket.create_connection((host, port), timeout=10)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def write(self, data: bytes) -> None:
        try:
            self.socket.sendall(data)
        except OSError as error:
            raise Closed from error

    def read(self) -> bytes:
        """At least one byte; Closed at the end of the stream."""
        try:
            data = self.socket.recv(65536)
        except TimeoutError:
            raise
        except OSError as error:
            raise Closed from error
        if not data:
            raise Closed
        return data

    def close(self) -> None:
        self.socket.close()


class WebSocketStream(TcpStream):
    """Section 5, WebSocket: the payloads of binary messages are the stream."""

    def __init__(self, host: str, port: int) -> None:
        super().__init__(host, port)
        key = base64.b64encode(os.urandom(16)).decode()
        super().write(
            f"GET /qw1 HTTP/1.1\r\nHost: {host}:{port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n"
            "Sec-WebSocket-Protocol: qw1\r\n\r\n".encode()
        )
        self.buffer = b""
        while b"\r\n\r\n" not in self.buffer:
            self.buffer += super().read()
        answer, _, self.buffer = self.buffer.partition(b"\r\n\r\n")
        guid = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
        accept = base64.b64encode(hashlib.sha1(key.encode() + guid).digest())
        if not answer.startswith(b"HTTP/1.1 101") or accept not in answer:
            raise Closed(0, answer.decode())

    def write(self, data: bytes, opcode: int = 2) -> None:
        mask = os.urandom(4)
        size = len(data)
        length = bytes([0x80 | size]) if size < 126 else b"\xfe" + size.to_bytes(2, "big")
        masked = bytes(byte ^ mask[i % 4] for i, byte in enumerate(data))
        super().write(bytes([0x80 | opcode]) + length + mask + masked)

    def read(self) -> bytes:
        while True:
            opcode, payload = self._frame()
            if opcode == 8:
                raise Closed(int.from_bytes(payload[:2], "big") if payload else 0)
            if opcode == 9:
                self.write(payload, 10)
            elif opcode in (0, 2) and payload:
                return payload

    def _need(self, size: int) -> None:
        while len(self.buffer) < size:
            self.buffer += super().read()

    def _frame(self) -> tuple[int, bytes]:
        self._need(2)
        opcode, size, head = self.buffer[0] & 15, self.buffer[1] & 127, 2
        if size >= 126:
            width = 2 if size == 126 else 8
            self._need(2 + width)
            size, head = int.from_bytes(self.buffer[2 : 2 + width], "big"), 2 + width
        self._need(head + size)
        payload, self.buffer = self.buffer[head : head + size], self.buffer[head + size :]
        return opcode, payload


def read_room_messages(body: bytes) -> list[list[Any]]:
    """Section 11: the messages of an EVENT of kind 5, each as a Message."""
    size = body[1]
    conversation, at = "r/" + body[2 : 2 + size].decode(), 2 + size
    values, names, found = [0, 0], [], []
    while at < len(body):
        shape, at = body[at], at + 1
        for i in range(2):
            written, at = read_uv(body, at)
            values[i] += written // 2 if written % 2 == 0 else -(written + 1) // 2
        who, at = read_uv(body, at)
        if who % 2 == 0:
            names.append(body[at : at + who // 2].decode())
            at += who // 2
        sender = names[who // 2 if who % 2 else -1]
        seq, at = read_uv(body, at) if shape & 2 else (0, at)
        size, at = read_uv(body, at)
        content, at = body[at : at + size], at + size
        said = [0, {"text": content.decode()}, {}, None, 0] if shape & 1 else unpack(content)
        found.append([conversation, seq, *values, sender, None, *said])
    return found


class Stranger:
    """One connection. `handshake` (or `connect`) first, then `login`, then requests; `inbox` collects MSG and
    EVENT.
    """

    unused = frozenset({14})
    """Frames that this client has no use for: a TICKET (stranger_ticket.py)."""

    def __init__(self, host: str, port: int, *, websocket: bool = False) -> None:
        self.stream: TcpStream = WebSocketStream(host, port) if websocket else TcpStream(host, port)
        self.buffer = b""
        self.frames: list[Frame] = []
        self.inbox: list[Any] = []
        self.received = 0
        self.request = 0

    @classmethod
    def connect(
        cls,
        host: str,
        port: int,
        root: str,
        *,
        suite: int = 1,
        websocket: bool = False,
        payload: bytes = b"",
    ) -> Stranger:
        """Without a key set: name key id 0, learn the key set from the REJECT, connect again (section 3)."""
        first = cls(host, port, websocket=websocket)
        try:
            first.handshake(suite, 0, os.urandom(32))
        except Rejected as rejected:
            if rejected.code != 3:
                raise
            key_id, public = read_key_set(rejected.data, root).best()
        first.stream.close()
        second = cls(host, port, websocket=websocket)
        second.handshake(suite, key_id, public, payload=payload)
        return second

    def _take(self, size: int) -> bytes:
        while len(self.buffer) < size:
            self.buffer += self.stream.read()
        data, self.buffer = self.buffer[:size], self.buffer[size:]
        return data

    def handshake(
        self, suite: int, key_id: int, public: bytes, preamble: bytes | None = None, payload: bytes = b""
    ) -> None:
        """Section 6. Raises Rejected."""
        prologue = preamble or b"QW\x01\x01" + bytes([suite, 0]) + key_id.to_bytes(2, "big")
        noise = NoiseConnection.from_name(SUITES[suite])
        noise.set_as_initiator()
        noise.set_prologue(prologue)
        noise.set_keypair_from_public_bytes(Keypair.REMOTE_STATIC, public)
        noise.start_handshake()
        message = bytes(noise.write_message(payload))
        self.stream.write(prologue + len(message).to_bytes(2, "big") + message)
        size = int.from_bytes(self._take(2), "big")
        if size == 0:
            code = self._take(1)[0]
            raise Rejected(code, self._take(int.from_bytes(self._take(2), "big")))
        fields = bytes(noise.read_message(self._take(size)))
        self.hello: dict[int, bytes] = {}
        at = 0
        while at < len(fields):
            tag, at = read_uv(fields, at)
            length, at = read_uv(fields, at)
            self.hello[tag] = fields[at : at + length]
            at += length
        self.noise = noise
        self.hash: bytes = noise.get_handshake_hash()

    def write(self, *frames: bytes) -> None:
        """One record; after a REKEY frame the next key."""
        sealed = bytes(self.noise.encrypt(b"".join(frames)))
        self.stream.write(len(sealed).to_bytes(2, "big") + sealed)
        if frames[-1] == frame(REKEY):
            self.noise.rekey_outbound_cipher()

    def read(self) -> Frame:
        """The next frame; MSG is counted. Closed carries the code of a CLOSE."""
        while not self.frames:
            plain = bytes(self.noise.decrypt(self._take(int.from_bytes(self._take(2), "big"))))
            at = 0
            while at < len(plain):
                head = plain[at]
                at += 1
                if head & 0x40:
                    _, at = read_uv(plain, at)
                size, at = read_uv(plain, at)
                self.frames.append(Frame(head & 0x1F, plain[at : at + size]))
                at += size
            if self.frames[-1].type == REKEY:
                self.noise.rekey_inbound_cipher()
        got = self.frames.pop(0)
        if got.type in self.unused:
            return self.read()
        if got.type == MSG:
            self.received += 1
        if got.type == CLOSE:
            code, at = read_uv(got.body)
            raise Closed(code, got.body[at:].decode())
        return got

    def read_raw(self) -> bytes:
        """Bytes outside any record; Closed at the end of the stream."""
        return self.stream.read()

    def auth(
        self, token: str, device: str = "stranger", binding: bytes | None = None, extras: bytes = b""
    ) -> bytes:
        """Section 9, kind 1: the body of AUTH."""
        ascii_token = token.encode()
        key = hashlib.sha256(ascii_token).digest()
        proof = hmac.new(key, b"qw1 auth" + self.hash, "sha256").digest() if binding is None else binding
        name = device.encode()
        body = b"\x01" + uv(len(ascii_token)) + ascii_token + uv(len(proof)) + proof + uv(len(name)) + name
        return body + b"\x06" + uv(len(extras)) + extras

    def login(
        self, token: str, device: str = "stranger", binding: bytes | None = None, extras: bytes = b""
    ) -> list[Any]:
        """The AUTH_OK array; raises Closed."""
        self.write(frame(AUTH, self.auth(token, device, binding, extras)))
        return self.welcome()

    def welcome(self) -> list[Any]:
        answer = self.read()
        assert answer.type == AUTH_OK, answer
        welcome: list[Any] = unpack(answer.body)
        return welcome

    def ask(self, kind: int, name: str, payload: Any) -> Any:
        """SEND or CALL, and its answer. Other frames that come first go to the inbox."""
        self.request += 1
        encoded = name.encode()
        body = uv(self.request) + bytes([len(encoded)]) + encoded + pack(payload)
        self.write(frame(kind, body, ack=self.received or None))
        while True:
            got = self.read()
            if got.type not in (SEND_ACK, RETURN):
                self.keep(got)
                continue
            request, at = read_uv(got.body)
            code, at = read_uv(got.body, at)
            assert (request, got.type) == (self.request, kind + 1)
            if code:
                raise Refused(code, unpack(got.body[at:]))
            return unpack(got.body[at:])

    def keep(self, got: Frame) -> None:
        if got.type == MSG:
            self.inbox.append(unpack(got.body))
        elif got.type == EVENT and got.body[0] == 5:
            self.inbox += [(5, message) for message in read_room_messages(got.body)]
        elif got.type == EVENT:
            self.inbox.append((got.body[0], unpack(got.body[1:])))

    def send(self, target: str, text: str, client_id: str) -> Any:
        return self.ask(SEND, target, [client_id, 0, {"text": text}, None, None])

    def send_custom(self, target: str, data: Any, client_id: str) -> Any:
        return self.ask(SEND, target, [client_id, 100, {"data": data}, None, None])

    def call(self, method: str, **args: Any) -> Any:
        return self.ask(CALL, method, args)

    def report(self, **said: Any) -> None:
        """Section 14."""
        self.write(frame(REPORT, pack(said)))

    def policy(self) -> dict[str, Any]:
        """The next POLICY."""
        while (got := self.read()).type != POLICY:
            self.keep(got)
        told: dict[str, Any] = unpack(got.body)
        return told

    def next(self) -> Any:
        """The next MSG (a list) or EVENT (kind, value)."""
        while not self.inbox:
            self.keep(self.read())
        return self.inbox.pop(0)

    def close(self) -> None:
        self.write(frame(CLOSE, uv(1000)))
        self.stream.close()
