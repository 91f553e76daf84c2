"""Socket.IO 4 (npm package `socket.io`) over WebSocket and TLS 1.3, with its connection state recovery.

The client speaks Socket.IO's protocol as the one from npm does: it waits for `open`, connects with the id and
the offset of its last connection, and repeats what was not acknowledged (its option `retries`).
"""

from __future__ import annotations

import asyncio
import itertools
import json
import shutil
import subprocess
from importlib.util import find_spec
from pathlib import Path
from typing import ClassVar

from benchmarks.weaknet.rivals import CONNECT_S, Comer, Rival
from benchmarks.weaknet.system import Person, Watch, name_in

APP = Path(__file__).with_name("socketio_app.js")
OPEN, PING, PONG, CONNECT, EVENT, ACK = "0", "2", "3", "40", "42", "43"


class SocketIoPerson(Comer):
    """`_pid` and `_offset` are what recovery goes by."""

    def __init__(self, user: str, host: str, port: int, watch: Watch, interval_s: float) -> None:
        super().__init__(user, host, port, watch, interval_s)
        self._unacked: dict[int, str] = {}
        self._numbers = itertools.count()
        self._out: asyncio.Queue[str] | None = None
        self._pid = self._offset = ""

    def send(self, to: str, text: str) -> None:
        self._emit("send", to, text)

    async def join(self, room: str) -> None:
        self._emit("join", room)

    def say(self, room: str, text: str) -> None:
        self._emit("say", room, text)

    def _emit(self, *words: str) -> None:
        number = next(self._numbers)
        self._unacked[number] = f"{EVENT}{number}{json.dumps(words)}"
        if self._out is not None:
            self._out.put_nowait(self._unacked[number])

    async def live(self) -> None:
        from websockets.asyncio.client import ClientConnection, connect

        where = f"wss://{self.host}:{self.port}/socket.io/?EIO=4&transport=websocket"
        line = await connect(
            where, ssl=self.tls, compression=None, ping_interval=None, open_timeout=CONNECT_S, proxy=None
        )
        out: asyncio.Queue[str] = asyncio.Queue()

        async def write(line: ClientConnection) -> None:
            while True:
                await line.send(await out.get())

        writing = asyncio.ensure_future(write(line))
        try:
            async for text in line:
                self._take(str(text), out)
        finally:
            self._out = None
            writing.cancel()
            line.transport.abort()

    def _take(self, text: str, out: asyncio.Queue[str]) -> None:
        if text.startswith(OPEN):
            recovery = {"pid": self._pid, "offset": self._offset} if self._pid and self._offset else {}
            out.put_nowait(CONNECT + json.dumps({"user": self.user, **recovery}))
        elif text == PING:
            out.put_nowait(PONG)
        elif text.startswith(CONNECT):
            pid = str(json.loads(text[2:])["pid"])
            self.watch.resumed += pid == self._pid
            self._pid, self._out = pid, out
            self.watch.state(True)
            for waiting in self._unacked.values():
                out.put_nowait(waiting)
        elif text.startswith(ACK):
            self._unacked.pop(int(text[2 : text.index("[")]), None)
        elif text.startswith(EVENT):
            _, message, self._offset = json.loads(text[2:])
            self.watch.arrived(name_in(message))


class SocketIo(Rival):
    """Its usual heartbeat: the server pings every 25 s and waits for 20."""

    name: ClassVar[str] = "socket.io"
    beat_s: ClassVar[float] = 25.0

    @classmethod
    def missing(cls) -> str | None:
        node = shutil.which("node")
        if node is None or find_spec("websockets") is None:
            return "node or websockets is not installed (apt-get install nodejs, pip install websockets)"
        words = [node, "-e", "require.resolve('socket.io')"]
        if subprocess.run(words, capture_output=True, check=False).returncode:
            return "socket.io is not found (npm install socket.io, and NODE_PATH names its node_modules)"
        return None

    def command(self) -> list[str]:
        words = [str(APP), str(self.port), str(self.certificate), str(self.key), str(self.interval_s)]
        return [shutil.which("node") or "node", *words]

    def person(self, user: str, host: str, watch: Watch, *, searches: bool = False) -> Person:
        return SocketIoPerson(user, host, self.port, watch, self.interval_s)
