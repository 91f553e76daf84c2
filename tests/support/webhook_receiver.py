"""A server that gets webhooks, and answers as a test wants."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, NamedTuple


class Got(NamedTuple):
    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def events(self) -> list[dict[str, Any]]:
        found = json.loads(self.body)
        return list(found["events"] if isinstance(found, dict) else found)


Answer = Callable[[Got], Awaitable[bytes | None]]
"""The whole answer, None: close without one."""


def status(code: int, *headers: str, body: bytes = b"") -> bytes:
    lines = [f"HTTP/1.1 {code} So", f"Content-Length: {len(body)}", *headers, "", ""]
    return "\r\n".join(lines).encode() + body


HALF = b"half"
"""An answer that ends like this is never finished."""


class Receiver:
    """`taken`: events of requests that were answered 2xx, in the order of their answers."""

    def __init__(self) -> None:
        self.got: list[Got] = []
        self.taken: list[dict[str, Any]] = []
        self.answer: Answer = self.good
        self.url = ""
        self.connections = 0
        self.most = 0

    async def good(self, got: Got) -> bytes | None:
        return status(204)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.most = max(self.most, self.connections)
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
                headers = {
                    name.lower(): value
                    for name, _, value in (line.partition(": ") for line in head[1:] if line)
                }
                body = await reader.readexactly(int(headers["content-length"]))
                got = Got(head[0].split()[1], headers, body)
                self.got.append(got)
                answer = await self.answer(got)
                if answer is None:
                    return
                if answer.startswith((b"HTTP/1.1 2",)):
                    self.taken += got.events
                writer.write(answer)
                await writer.drain()
                if answer.endswith(HALF):
                    return
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            return
        finally:
            self.connections -= 1
            writer.close()


@asynccontextmanager
async def receiving(port: int = 0) -> AsyncIterator[Receiver]:
    receiver = Receiver()
    server = await asyncio.start_server(receiver.serve, "127.0.0.1", port)
    receiver.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/hook"
    try:
        yield receiver
    finally:
        server.close()
