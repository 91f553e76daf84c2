"""The client's half of RFC 6455, bytes in and bytes out: HTTP upgrade, masked frames out, unmasked frames in.

QW1 uses binary messages as a byte stream, so fragments are handed on as they come and message ends mean
nothing.
"""

from __future__ import annotations

import base64
import os
from collections.abc import Callable
from hashlib import sha1
from typing import Final

from qianwan.constants import WS_SUBPROTOCOL, Reject
from qianwan.errors import HandshakeRejected, ProtocolError
from qianwan.protocol import varint

BINARY: Final = 2
CONTINUATION: Final = 0
CLOSE: Final = 8
PING: Final = 9
PONG: Final = 10

GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
MAX_RESPONSE = 8192
MAX_PAYLOAD = 1 << 20
MAX_RETRY_S = 86_400


def mask(payload: bytes, key: bytes) -> bytes:
    """XOR with the repeated 4-byte key (RFC 6455 section 5.3), as one big integer operation."""
    size = len(payload)
    if not size:
        return b""
    repeated = (key * (size // 4 + 1))[:size]
    return (int.from_bytes(payload, "big") ^ int.from_bytes(repeated, "big")).to_bytes(size, "big")


class WebSocketClient:
    """Sans-I/O WebSocket endpoint.

    `request()` is sent first; every received chunk goes to `receive`, which returns QW1 bytes; what must be
    written
    back (pongs, the closing handshake) is collected in `outgoing`. `closed` is the peer's close code, or
    None.
    """

    def __init__(
        self, host: str, path: str, *, random: Callable[[int], bytes] = os.urandom, origin: str | None = None
    ) -> None:
        self._random = random
        self._key = base64.b64encode(random(16))
        self._host, self._path, self._origin = host, path, origin
        self._buffer = bytearray()
        self._in_message = False
        self.open = False
        self.closed: int | None = None
        self.outgoing = bytearray()

    def request(self) -> bytes:
        lines = [
            f"GET {self._path} HTTP/1.1",
            f"Host: {self._host}",
            "Upgrade: websocket",
            "Connection: Upgrade",
            f"Sec-WebSocket-Key: {self._key.decode()}",
            "Sec-WebSocket-Version: 13",
            f"Sec-WebSocket-Protocol: {WS_SUBPROTOCOL}",
        ]
        if self._origin is not None:
            lines.append(f"Origin: {self._origin}")
        return ("\r\n".join(lines) + "\r\n\r\n").encode()

    def wrap(self, payload: bytes, opcode: int = BINARY) -> bytes:
        """One masked, unfragmented frame."""
        size = len(payload)
        if size < 126:
            head = bytes((0x80 | opcode, 0x80 | size))
        elif size < 1 << 16:
            head = bytes((0x80 | opcode, 0x80 | 126)) + size.to_bytes(2, "big")
        else:
            head = bytes((0x80 | opcode, 0x80 | 127)) + size.to_bytes(8, "big")
        key = self._random(4)
        return head + key + mask(payload, key)

    def close(self, code: int = 1000) -> bytes:
        """The close frame to send."""
        return self.wrap(code.to_bytes(2, "big"), CLOSE)

    def receive(self, data: bytes) -> bytes:
        """Take bytes from the network, return the QW1 bytes in them. Raises ProtocolError, or
        HandshakeRejected (OVERLOADED) where the upgrade is answered 503 with a time to come again.
        """
        self._buffer += data
        if not self.open and not self._read_response():
            return b""
        stream = bytearray()
        while self.closed is None and self._read_frame(stream):
            pass
        return bytes(stream)

    def _read_response(self) -> bool:
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0:
            if len(self._buffer) > MAX_RESPONSE:
                raise ProtocolError("the HTTP answer to the upgrade is too long")
            return False
        status, *lines = bytes(self._buffer[:end]).decode("latin-1").split("\r\n")
        del self._buffer[: end + 4]
        words = status.split(" ", 2)
        headers = {}
        for line in lines:
            name, _, value = line.partition(":")
            headers[name.strip().lower()] = value.strip()
        if len(words) > 1 and words[1] == "503" and headers.get("retry-after", "").isdecimal():
            wait_ms = 1000 * min(int(headers["retry-after"][:9]), MAX_RETRY_S)
            raise HandshakeRejected(Reject.OVERLOADED, varint.put(wait_ms))
        if len(words) < 2 or words[1] != "101":
            raise ProtocolError(f"the server refused the WebSocket upgrade: {status}")
        expected = base64.b64encode(sha1(self._key + GUID).digest()).decode()
        if headers.get("sec-websocket-accept") != expected:
            raise ProtocolError("the server answered the WebSocket upgrade with a wrong key")
        if headers.get("sec-websocket-protocol", WS_SUBPROTOCOL) != WS_SUBPROTOCOL:
            raise ProtocolError("the server chose another subprotocol")
        self.open = True
        return True

    def _read_frame(self, stream: bytearray) -> bool:
        buffer = self._buffer
        if len(buffer) < 2:
            return False
        first, second = buffer[0], buffer[1]
        opcode, fin, size, head = first & 0x0F, first & 0x80, second & 0x7F, 2
        if first & 0x70 or second & 0x80:
            raise ProtocolError("the server sent a WebSocket frame with reserved bits or a mask")
        if size >= 126:
            width = 2 if size == 126 else 8
            if len(buffer) < 2 + width:
                return False
            size = int.from_bytes(buffer[2 : 2 + width], "big")
            head = 2 + width
            if size < (126 if width == 2 else 1 << 16):
                raise ProtocolError("a WebSocket length is not minimal")
        if size > MAX_PAYLOAD:
            raise ProtocolError("a WebSocket frame is too long")
        if len(buffer) < head + size:
            return False
        payload = bytes(buffer[head : head + size])
        del buffer[: head + size]
        if opcode >= 8:
            self._control(opcode, bool(fin), payload)
        elif opcode == (CONTINUATION if self._in_message else BINARY):
            self._in_message = not fin
            stream += payload
        else:
            raise ProtocolError(f"unexpected WebSocket opcode {opcode}")
        return True

    def _control(self, opcode: int, fin: bool, payload: bytes) -> None:
        if not fin or len(payload) > 125:
            raise ProtocolError("a WebSocket control frame is fragmented or too long")
        if opcode == PING:
            self.outgoing += self.wrap(payload, PONG)
        elif opcode == CLOSE:
            if len(payload) == 1:
                raise ProtocolError("a WebSocket close frame has half a code")
            self.closed = int.from_bytes(payload[:2], "big") if payload else 1005
            self.outgoing += self.wrap(payload[:2], CLOSE)
        elif opcode != PONG:
            raise ProtocolError(f"unknown WebSocket control opcode {opcode}")
