"""A server that is asked over HTTP/1.1, and answers what the test wants: well, wrongly, slowly, or never."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import NamedTuple


class Asked(NamedTuple):
    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def said(self) -> dict[str, object]:
        found = json.loads(self.body)
        assert isinstance(found, dict)
        return found


Answers = Callable[[Asked, asyncio.StreamWriter], Awaitable[None]]


def whole(status: int, body: bytes, headers: str = "") -> bytes:
    return f"HTTP/1.1 {status} x\r\n{headers}Content-Length: {len(body)}\r\n\r\n".encode() + body


def answer(status: int = 200, body: bytes = b"{}", headers: str = "") -> Answers:
    async def run(asked: Asked, writer: asyncio.StreamWriter) -> None:
        writer.write(whole(status, body, headers))

    return run


def says(**members: object) -> Answers:
    return answer(200, json.dumps(members).encode())


async def never(asked: Asked, writer: asyncio.StreamWriter) -> None:
    """No byte, as long as the connection stands."""
    await asyncio.get_running_loop().create_future()


async def drip(asked: Asked, writer: asyncio.StreamWriter) -> None:
    """A byte from time to time, each of them soon enough by itself."""
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
    while True:
        writer.write(b" ")
        await asyncio.sleep(0.05)


async def endless(asked: Asked, writer: asyncio.StreamWriter) -> None:
    """As fast as it can, without an end."""
    writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    while True:
        writer.write(b"10000\r\n" + b"x" * 65536 + b"\r\n")
        await writer.drain()


async def hangs_up(asked: Asked, writer: asyncio.StreamWriter) -> None:
    """In the middle of its answer."""
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{")
    await writer.drain()
    writer.close()


async def no_http(asked: Asked, writer: asyncio.StreamWriter) -> None:
    writer.write(b"\x16\x03\x01 this is no HTTP\r\n\r\n")
    await writer.drain()
    writer.close()


class AskedServer:
    """`answers` may be changed at any time; `asked` has what came, in the order it came."""

    def __init__(self) -> None:
        self.answers: Answers = answer()
        self.asked: list[Asked] = []
        self.connections = 0
        self.port = 0
        self._news = asyncio.Event()
        self._serving: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None
        self._tls: ssl.SSLContext | None = None

    @property
    def url(self) -> str:
        return f"http{'s' if self._tls else ''}://127.0.0.1:{self.port}/hook"

    async def start(self, tls: ssl.SSLContext | None = None) -> None:
        """On the port it had before, if it had one."""
        self._tls = tls
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port, ssl=tls)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Dead: the port refuses, connections are closed."""
        if self._server is not None:
            self._server.close()
            self._server = None
        for task in self._serving:
            task.cancel()
        await asyncio.gather(*self._serving, return_exceptions=True)

    async def until(self, count: int) -> None:
        """So many requests have come."""
        async with asyncio.timeout(60):
            while len(self.asked) < count:
                self._news.clear()
                await self._news.wait()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._serving.add(task)
        self.connections += 1
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
                headers = {
                    name.lower(): text for name, text in (line.split(": ", 1) for line in head[1:] if line)
                }
                body = await reader.readexactly(int(headers.get("content-length", "0")))
                asked = Asked(head[0].split(" ")[1], headers, body)
                self.asked.append(asked)
                self._news.set()
                await self.answers(asked, writer)
                await writer.drain()
        except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass  # whoever asked is gone, or the server stops
        finally:
            self._serving.discard(task)
            writer.close()


@asynccontextmanager
async def asked_server(tls: ssl.SSLContext | None = None) -> AsyncIterator[AskedServer]:
    server = AskedServer()
    await server.start(tls)
    try:
        yield server
    finally:
        await server.stop()
