"""A client that comes back: a blocking socket and as much of QW1 as a login, a ticket and a resume need."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import socket
import struct
import time

from crypto.handshake import Channel, HandshakeState
from frame import frames, preamble
from frame.constants import AUTH_CONTEXT, AuthKind, FlightTlv, FrameType, Pattern, Platform, PreambleFlag
from frame.varint import decode, encode

PSK_BYTES = 32
DEVICE = b"d1"


class Comer:
    """One session, whose newest ticket it keeps. It never hears a MSG, so it has always seen 0 of them."""

    def __init__(self, port: int, key_id: int, key: bytes, suite: int, user: str) -> None:
        self._port, self._key_id, self._key, self._suite = port, key_id, key, suite
        claims = base64.urlsafe_b64encode(json.dumps({"sub": user}).encode()).rstrip(b"=")
        self._token = b"e30." + claims + b".c2ln"  # the core alone believes everybody
        self._sock: socket.socket | None = None
        self._older: socket.socket | None = None
        self._way = ""
        self._noise: HandshakeState | None = None
        self._psk = self._ticket = b""
        self._came = 0.0
        self._held = bytearray()
        self.flight = b""  # the last first flight
        self._channel: Channel | None = None

    def log_in(self) -> None:
        """With its token."""
        self.come_back("token")

    def come_back(self, way: str) -> None:
        """By `resume`, `lite`, `ticket` or `token`, one step after the other."""
        self.knock(way)
        self.enter()
        self.settle()

    def knock(self, way: str) -> None:
        """A new connection and its first flight. The older one of a resume is left open until it is in."""
        self._way, self._older = way, self._sock
        if way in ("ticket", "token"):
            self._leave()
        if way == "token":
            self._connect(Pattern.NK, b"")
            return
        if way == "ticket":
            self._connect(Pattern.NKPSK0, b"")
            return
        age = encode(int((time.monotonic() - self._came) * 1000))
        fields = [(FlightTlv.RESUME_SEEN, encode(0)), (FlightTlv.TICKET_AGE_MS, age)]
        self._connect(Pattern.NNPSK0 if way == "lite" else Pattern.NKPSK0, preamble.build_tlvs(fields))

    def enter(self) -> None:
        """The answer is there: the first record."""
        assert self._noise is not None
        self._noise.read_message(self._sized())
        self._channel, self._noise = self._noise.split(), None
        if self._way == "token":
            self._authenticate(AuthKind.BEARER, self._token, hashlib.sha256(self._token).digest())
        elif self._way == "ticket":
            self._authenticate(AuthKind.TICKET, b"", self._psk)
        else:
            self._send(frames.build(FrameType.ACK, b"", 0))

    def settle(self) -> None:
        """In, with a new ticket."""
        self._await(FrameType.AUTH_OK if self._way in ("ticket", "token") else FrameType.RESUME_OK)
        self._leave()

    def vanish(self) -> None:
        """The connection is reset: no CLOSE, no end of stream."""
        for sock in (self._sock, self._older):
            if sock is not None:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                sock.close()
        self._sock = self._older = None

    def ping(self) -> None:
        """And its PONG. Raises ConnectionError when another frame comes first."""
        self._send(frames.build(FrameType.PING, b""))
        if [number for number, _ in self._record()] != [FrameType.PONG]:
            raise ConnectionError("no PONG")

    def _leave(self) -> None:
        if self._older is not None:
            self._older.close()
            self._older = None

    def _authenticate(self, kind: AuthKind, token: bytes, key: bytes) -> None:
        assert self._channel is not None
        binding = hmac.new(key, AUTH_CONTEXT.encode() + self._channel.handshake_hash, hashlib.sha256).digest()
        parts = b"".join(encode(len(part)) + part for part in (token, binding, DEVICE))
        self._send(frames.build(FrameType.AUTH, bytes([kind]) + parts + bytes([Platform.SERVER, 0])))

    def _await(self, kind: FrameType) -> None:
        """This answer, and the ticket behind it. Raises ConnectionError when another comes first."""
        waited = False
        while True:
            for number, body in self._record():
                if number == kind:
                    waited = True
                elif number == FrameType.TICKET and waited:
                    _, used = decode(body)
                    self._psk, self._ticket = body[used : used + PSK_BYTES], body[used + PSK_BYTES + 1 :]
                    self._came = time.monotonic()
                    return
                elif number in (FrameType.CLOSE, FrameType.RESUME_FAIL):
                    raise ConnectionError(f"frame {number}: {body!r}")

    def _connect(self, pattern: Pattern, payload: bytes) -> None:
        self._sock = socket.create_connection(("127.0.0.1", self._port))
        self._sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        lite = pattern == Pattern.NNPSK0
        prologue = preamble.build(1, pattern, self._suite, PreambleFlag.KNOWN, 0 if lite else self._key_id)
        if pattern != Pattern.NK:
            prologue += bytes([len(self._ticket)]) + self._ticket
        self._noise = HandshakeState(
            {Pattern.NK: "NK", Pattern.NKPSK0: "NKpsk0", Pattern.NNPSK0: "NNpsk0"}[pattern],
            self._suite,
            True,
            prologue,
            rs=None if lite else self._key,
            psk=None if pattern == Pattern.NK else self._psk,
        )
        message = self._noise.write_message(payload)
        self._held.clear()
        self.flight = prologue + struct.pack(">H", len(message)) + message
        self._sock.sendall(self.flight)

    def _send(self, plain: bytes) -> None:
        assert self._channel is not None
        assert self._sock is not None
        sealed = self._channel.tx.seal(plain)
        self._sock.sendall(struct.pack(">H", len(sealed)) + sealed)

    def _record(self) -> list[tuple[int, bytes]]:
        assert self._channel is not None
        plain, at, found = self._channel.rx.open(self._sized()), 0, []
        while at < len(plain):
            used, frame = frames.parse(plain[at:])
            if frame is None:
                raise ConnectionError("not a frame")
            at += used
            found.append((frame.type, bytes(frame.body)))
        return found

    def _sized(self) -> bytes:
        """What follows a length of two bytes."""
        assert self._sock is not None
        while len(self._held) < 2 or len(self._held) < 2 + int.from_bytes(self._held[:2], "big"):
            got = self._sock.recv(65536)
            if not got:
                raise ConnectionError("the server closed")
            self._held += got
        end = 2 + int.from_bytes(self._held[:2], "big")
        found = bytes(self._held[2:end])
        del self._held[:end]
        return found
