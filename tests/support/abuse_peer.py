"""A peer that says exactly the bytes it is told to: for everything a well-behaved client never does."""

from __future__ import annotations

import asyncio
import json
import socket
import time
from base64 import urlsafe_b64decode
from contextlib import suppress
from typing import NamedTuple, Self

from qianwan.protocol import auth, frames

from crypto import key_set
from crypto.noise import Channel, Initiator
from tests.support.server_process import ServerProcess

CHACHAPOLY = 1
SMALL_BUFFER = 4096


class Target(NamedTuple):
    """Where to aim: the port, and the key a real client would use."""

    host: str
    port: int
    key_id: int
    public: bytes

    @classmethod
    def of(cls, server: ServerProcess, gateway: ServerProcess | None = None) -> Self:
        """`server` is asked for keys; its own gateway, if no other is named."""
        answer = json.loads(server.get("/v1/lbs")[1])
        packed = answer["key_set"]
        signed = urlsafe_b64decode(packed + "=" * (-len(packed) % 4))
        best = key_set.verify(signed, key_set.parse_root(answer["root"])).best(int(time.time()))
        if best is None:
            raise AssertionError("the key set holds no valid key")
        return cls(*(gateway or server).gateway, best.key_id, best.public)

    def preamble(self, version: int = 1, pattern: int = 1, suite: int = CHACHAPOLY, flags: int = 0) -> bytes:
        return b"QW" + bytes((version, pattern, suite, flags)) + self.key_id.to_bytes(2, "big")


class RawPeer:
    """One connection, from any loopback address. `handshake` and `login` are correct; `write` is anything."""

    def __init__(self, target: Target, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.target = target
        self.reader = reader
        self.writer = writer
        self._channel: Channel | None = None

    @classmethod
    async def connect(cls, target: Target, source: str = "127.0.0.1", receive_buffer: int = 0) -> Self:
        """`receive_buffer`: bytes the kernel may hold for us, 0 = its own choice."""
        loop = asyncio.get_running_loop()
        sock = socket.socket()
        sock.setblocking(False)
        if receive_buffer:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        sock.bind((source, 0))
        await loop.sock_connect(sock, (target.host, target.port))
        reader, writer = await asyncio.open_connection(sock=sock, limit=receive_buffer or 1 << 16)
        return cls(target, reader, writer)

    def write(self, data: bytes) -> None:
        """The server may be gone already; that is for `end` to notice."""
        if not self.writer.is_closing():
            self.writer.write(data)

    def first_flight(self) -> tuple[bytes, Initiator]:
        """A correct preamble and message 1."""
        preamble = self.target.preamble()
        initiator = Initiator(CHACHAPOLY, preamble, self.target.public)
        message = initiator.message
        return preamble + len(message).to_bytes(2, "big") + message, initiator

    async def handshake(self) -> None:
        flight, initiator = self.first_flight()
        self.write(flight)
        size = int.from_bytes(await self.reader.readexactly(2), "big")
        _, self._channel = initiator.finish(await self.reader.readexactly(size))

    def record(self, plain: bytes) -> bytes:
        """A correctly sealed record of whatever this is."""
        sealed = self._open.tx.seal(plain)
        return len(sealed).to_bytes(2, "big") + sealed

    async def login(self, token: str, device: str) -> None:
        body = auth.auth_body(auth.Credentials(token, device), self._open.handshake_hash)
        self.write(self.record(frames.pack(4, body)))
        size = int.from_bytes(await self.reader.readexactly(2), "big")
        plain = self._open.rx.open(await self.reader.readexactly(size))
        if plain[0] & 0x1F != 5:
            raise AssertionError(f"no AUTH_OK but {plain.hex()}")

    async def end(self, timeout_s: float) -> bool:
        """Whether the server ends this connection in time. What it says before is read and thrown away."""
        try:
            async with asyncio.timeout(timeout_s):
                while await self.reader.read(1 << 16):
                    pass
        except ConnectionError:
            pass
        except TimeoutError:
            return False
        return True

    async def close(self) -> None:
        self.writer.close()
        with suppress(ConnectionError):
            await self.writer.wait_closed()

    @property
    def _open(self) -> Channel:
        if self._channel is None:
            raise RuntimeError("shake hands first")
        return self._channel

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.close()
