"""A plain WebSocket server over TLS 1.3 (PyPI package `websockets`) that pings every 30 s.

A client writes what it has; nothing is acknowledged, so what was written into a dead connection is lost. The
server holds what is for somebody who is away.
"""

from __future__ import annotations

import asyncio
import sys
from importlib.util import find_spec
from typing import ClassVar

from benchmarks.weaknet.rivals import CONNECT_S, Comer, Rival
from benchmarks.weaknet.system import Person, Watch, name_in


class SocketPerson(Comer):
    """Who it is stands in the path, so the login costs no round trip."""

    def __init__(self, user: str, host: str, port: int, watch: Watch, interval_s: float) -> None:
        super().__init__(user, host, port, watch, interval_s)
        self._waiting: list[str] = []
        self._arrived = asyncio.Event()

    def send(self, to: str, text: str) -> None:
        self._waiting.append(f"{to}\n{text}")
        self._arrived.set()

    async def join(self, room: str) -> None:
        self.send("", f"#{room}")

    def say(self, room: str, text: str) -> None:
        self.send(f"#{room}", text)

    async def live(self) -> None:
        from websockets.asyncio.client import ClientConnection, connect

        where = f"wss://{self.host}:{self.port}/{self.user}"

        async def write(line: ClientConnection) -> None:
            while True:
                while self._waiting:
                    await line.send(self._waiting.pop(0))
                self._arrived.clear()
                await self._arrived.wait()

        line = await connect(
            where, ssl=self.tls, compression=None, ping_interval=None, open_timeout=CONNECT_S, proxy=None
        )
        writing = asyncio.ensure_future(write(line))
        try:
            self.watch.state(True)
            async for text in line:
                self.watch.arrived(name_in(str(text)))
        finally:
            writing.cancel()
            line.transport.abort()


class WebSocket(Rival):
    name: ClassVar[str] = "websocket"
    beat_s: ClassVar[float] = 30.0

    @classmethod
    def missing(cls) -> str | None:
        return None if find_spec("websockets") else "websockets is not installed (pip install websockets)"

    def command(self) -> list[str]:
        words = [str(self.port), str(self.certificate), str(self.key), str(self.interval_s)]
        return [sys.executable, "-m", "benchmarks.weaknet.websocket_app", *words]

    def person(self, user: str, host: str, watch: Watch, *, searches: bool = False) -> Person:
        return SocketPerson(user, host, self.port, watch, self.interval_s)
