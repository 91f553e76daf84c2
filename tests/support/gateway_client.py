"""A client of QW1 on a plain blocking socket: native or WebSocket, one frame at a time, no magic."""

from __future__ import annotations

import hashlib
import hmac
import os
import socket
import struct
import time
from collections import deque
from typing import NamedTuple

import msgspec

from crypto.aead import tag_size
from crypto.handshake import Channel, HandshakeState
from crypto.noise import Initiator
from frame import frames, preamble
from frame.constants import FlightTlv, FrameType, ResumeFlag
from frame.models import Frame

ZSTD = 1


SYNC_NIL = b"\x03\x92\xc0\x00"
"""The body of a SYNC of nil, 0."""


class Ticket(NamedTuple):
    lifetime_s: int
    psk: bytes
    sealed: bytes
    came: float  # time.monotonic()


class Gone(Exception):
    """The server closed the connection."""


class Rejected(Exception):
    """REJECT in the place of handshake message 2."""

    def __init__(self, code: int, data: bytes) -> None:
        super().__init__(f"REJECT {code}")
        self.code = code
        self.data = data


def uv(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(0x80 | (value & 0x7F))
        value >>= 7
    out.append(value)
    return bytes(out)


def uv_get(data: bytes, at: int = 0) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            return value, at


def auth_body(
    token: bytes,
    binding: bytes = b"b" * 32,
    device: bytes = b"d1",
    platform: int = 6,
    kind: int = 1,
    extras: bytes = b"",
) -> bytes:
    return (
        bytes([kind]) + uv(len(token)) + token + uv(len(binding)) + binding + uv(len(device)) + device
        + bytes([platform]) + uv(len(extras)) + extras
    )  # fmt: skip


class WireClient:
    """`stream` methods work on the QW1 byte stream whatever carries it."""

    def __init__(
        self,
        port: int,
        server_pub: bytes,
        *,
        suite: int = 1,
        flags: int = 0,
        key_id: int = 1,
        websocket: bool = False,
        timeout: float = 10.0,
        rcvbuf: int = 0,
        before: bytes = b"",
        host: str = "127.0.0.1",
        ticket: Ticket | None = None,
        lite: bool = False,
        protocol: int = 0,
    ) -> None:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self.sock = socket.socket(family, socket.SOCK_STREAM, protocol)
        if rcvbuf:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, rcvbuf)
        self.sock.settimeout(timeout)
        self.sock.connect((host, port))
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.suite = suite
        self.server_pub = server_pub
        pattern = 1 if ticket is None else 3 if lite else 2
        self.prologue = b"QW" + struct.pack(">BBBBH", 1, pattern, suite, flags, 0 if pattern == 3 else key_id)
        self.ticket = ticket
        if ticket is not None:
            self.prologue += bytes([len(ticket.sealed)]) + ticket.sealed
        self.flight = b""
        self.msgs = 0  # of the session
        self.raw = bytearray()  # from the socket, not yet stripped of WebSocket
        self.data = bytearray()  # the QW1 stream
        self.frames: deque[Frame] = deque()
        self.channel: Channel | None = None
        self.greeting = b""
        self.websocket = False
        self.ws_close: int | None = None
        self.records_in = 0
        if before:
            self.sock.sendall(before)
        if websocket:
            self._upgrade()

    # bytes

    def _upgrade(self) -> None:
        self.sock.sendall(
            b"GET /qw1 HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
            b"Sec-WebSocket-Protocol: qw1\r\n\r\n"
        )
        while b"\r\n\r\n" not in self.raw:
            self._read_socket()
        head, _, rest = bytes(self.raw).partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 101"), head
        assert b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" in head
        self.raw = bytearray(rest)
        self.websocket = True

    def wrap(self, payload: bytes, opcode: int = 2, fin: bool = True) -> bytes:
        mask = os.urandom(4)
        head = bytes([(0x80 if fin else 0) | opcode])
        n = len(payload)
        if n < 126:
            head += bytes([0x80 | n])
        elif n < 65536:
            head += bytes([0xFE]) + struct.pack(">H", n)
        else:
            head += bytes([0xFF]) + struct.pack(">Q", n)
        return head + mask + bytes(b ^ mask[i & 3] for i, b in enumerate(payload))

    def write(self, stream: bytes, step: int = 0) -> None:
        """Sends stream bytes; step > 0: that many bytes a packet."""
        out = self.wrap(stream) if self.websocket else stream
        for at in range(0, len(out), step or len(out) or 1):
            self.sock.sendall(out[at : at + (step or len(out))])

    def _read_socket(self) -> None:
        try:
            got = self.sock.recv(262144)
        except ConnectionResetError as e:
            raise Gone("reset") from e
        if not got:
            raise Gone("end of stream")
        (self.raw if self.websocket or self.channel is None else self.data).extend(got)

    def _unwrap(self) -> None:
        while len(self.raw) >= 2:
            n, at = self.raw[1] & 0x7F, 2
            if len(self.raw) < {126: 4, 127: 10}.get(n, 2):
                return
            if n == 126:
                n, at = struct.unpack_from(">H", self.raw, 2)[0], 4
            elif n == 127:
                n, at = struct.unpack_from(">Q", self.raw, 2)[0], 10
            if len(self.raw) < at + n:
                return
            opcode = self.raw[0] & 15
            payload = bytes(self.raw[at : at + n])
            del self.raw[: at + n]
            if opcode == 8:
                self.ws_close = struct.unpack(">H", payload[:2])[0]
            elif opcode == 2:
                self.data += payload

    def _fill(self) -> None:
        self._read_socket()
        if self.websocket:
            self._unwrap()
        elif self.raw:
            self.data += self.raw
            self.raw.clear()

    def stream(self, n: int) -> bytes:
        while len(self.data) < n:
            self._fill()
        out = bytes(self.data[:n])
        del self.data[:n]
        return out

    # handshake and records

    def handshake(self, payload: bytes = b"", step: int = 0) -> WireClient:
        return self.shake(payload, step) if self.ticket is None else self.shake_with_ticket(payload, step)

    def shake(self, payload: bytes = b"", step: int = 0) -> WireClient:
        noise = Initiator(self.suite, self.prologue, self.server_pub, payload)
        self.greeting, self.channel = noise.finish(self._exchange(noise.message, step))
        return self

    def shake_with_ticket(self, payload: bytes = b"", step: int = 0) -> WireClient:
        assert self.ticket is not None
        lite = self.prologue[3] == 3
        noise = HandshakeState(
            "NNpsk0" if lite else "NKpsk0",
            self.suite,
            True,
            self.prologue,
            rs=None if lite else self.server_pub,
            psk=self.ticket.psk,
        )
        self.greeting = noise.read_message(self._exchange(noise.write_message(payload), step))
        self.channel = noise.split()
        return self

    def _exchange(self, message: bytes, step: int) -> bytes:
        self.flight = self.prologue + struct.pack(">H", len(message)) + message
        self.write(self.flight, step)
        length = struct.unpack(">H", self.stream(2))[0]
        if length == 0:
            code, n = struct.unpack(">BH", self.stream(3))
            raise Rejected(code, self.stream(n))
        return self.stream(length)

    def resume(self, seen: int, age_ms: int | None = None, step: int = 0) -> WireClient:
        """The first flight of one who takes up a session; `age_ms`: of the ticket, None: the true one."""
        assert self.ticket is not None
        age = int((time.monotonic() - self.ticket.came) * 1000) if age_ms is None else age_ms
        self.msgs = seen
        return self.handshake(
            preamble.build_tlvs([(FlightTlv.RESUME_SEEN, uv(seen)), (FlightTlv.TICKET_AGE_MS, uv(age))]), step
        )

    def take_ticket(self) -> Ticket:
        """Behind a resume a SYNC may stand before it: something was lost with the older connection after
        the answer had left."""
        frame = self.next()
        if (frame.type, frame.body) == (FrameType.EVENT, SYNC_NIL):
            frame = self.next()
        assert frame.type == FrameType.TICKET, frame
        body = frame.body
        lifetime, at = uv_get(body)
        assert len(body) == at + 33 + body[at + 32]
        return Ticket(lifetime, body[at : at + 32], body[at + 33 :], time.monotonic())

    def taken_up(self, first: int, last: int, flags: int = 0) -> list[bytes]:
        """RESUME_OK of these numbers; the bodies of the MSGs behind it. Events may always have been lost with
        the older connection.
        """
        body = self.expect(FrameType.RESUME_OK)
        assert body[:-1] == uv(first) + uv(last)
        assert body[-1] in (flags, flags | ResumeFlag.EVENTS_LOST)
        return [self.expect(FrameType.MSG) for _ in range(first, last + 1)]

    def auth_with_ticket(self, kind: int = 3) -> None:
        assert self.ticket is not None
        assert self.channel is not None
        proof = hmac.new(self.ticket.psk, b"qw1 auth" + self.channel.handshake_hash, hashlib.sha256).digest()
        self.frame(FrameType.AUTH, auth_body(b"", proof, kind=kind))

    def record(self, plain: bytes) -> bytes:
        assert self.channel is not None
        sealed = self.channel.tx.seal(plain)
        return struct.pack(">H", len(sealed)) + sealed

    def send(self, *built: bytes, step: int = 0) -> None:
        """One record of the given frames."""
        self.write(self.record(b"".join(built)), step)

    def frame(self, type: int, body: bytes = b"", ack: int | None = None, step: int = 0) -> None:
        self.send(frames.build(type, body, ack), step=step)

    def rekey(self) -> None:
        """Ends the record stream of one key."""
        self.frame(FrameType.REKEY)
        assert self.channel is not None
        self.channel.tx.rekey()

    def _open_record(self) -> None:
        assert self.channel is not None
        length = struct.unpack(">H", self.stream(2))[0]
        assert length > tag_size(self.suite)
        plain = self.channel.rx.open(self.stream(length))
        self.records_in += 1
        at = 0
        while at < len(plain):
            used, frame = frames.parse(plain[at:])
            assert used > 0
            assert frame is not None
            at += used
            if frame.type == FrameType.REKEY:
                assert at == len(plain)
                self.channel.rx.rekey()
            else:
                self.frames.append(frame)

    def next(self) -> Frame:
        while not self.frames:
            self._open_record()
        return self.frames.popleft()

    def expect(self, type: int) -> bytes:
        frame = self.next()
        assert frame.type == type, f"{frame.type} instead of {type}: {frame.body[:80]!r}"
        return bytes(frame.body)

    def quiet(self, seconds: float) -> bool:
        """Nothing but a closed connection or silence comes within the time."""
        if self.frames or self.data:
            return False
        before = self.sock.gettimeout()
        self.sock.settimeout(seconds)
        try:
            self._fill()
        except TimeoutError:
            return True
        finally:
            self.sock.settimeout(before)
        return False

    def until_closed(self) -> list[Frame]:
        """Every frame up to the end of the connection."""
        out: list[Frame] = []
        try:
            while True:
                out.append(self.next())
        except Gone:
            return out

    def close_code(self) -> int:
        """The code of the CLOSE frame that ends the connection."""
        last = self.until_closed()[-1]
        assert last.type == FrameType.CLOSE, last
        return uv_get(bytes(last.body))[0]

    # session

    def auth(
        self, user: str, device: str = "d1", step: int = 0, extras: dict[str, object] | None = None
    ) -> bytes:
        """AUTH with the user's name as the token, which the harness takes for true; the AUTH_OK body."""
        packed = b"" if extras is None else msgspec.msgpack.encode(extras)
        self.frame(FrameType.AUTH, auth_body(user.encode(), device=device.encode(), extras=packed), step=step)
        return self.expect(FrameType.AUTH_OK)

    def ping(self) -> bytes:
        self.frame(FrameType.PING)
        return self.expect(FrameType.PONG)

    def close(self) -> None:
        self.sock.close()

    def __enter__(self) -> WireClient:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


def wait_for(condition: object, seconds: float = 10.0, what: str = "condition") -> None:
    """Polls until condition() is true."""
    assert callable(condition)
    until = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > until:
            raise AssertionError(f"{what} did not become true within {seconds} s")
        time.sleep(0.002)
