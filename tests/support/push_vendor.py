"""A vendor of push on this machine: HTTP/2 over TLS, on h2 itself, that answers as it is told and misbehaves
as vendors do: GOAWAY in the middle, streams that are reset, empty DATA frames, no answer at all."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import msgspec
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.errors import ErrorCodes
from h2.events import ConnectionTerminated, DataReceived, RequestReceived, StreamEnded
from h2.exceptions import ProtocolError

from tests.support.etcd_certificates import Certificates


class Asked(NamedTuple):
    """A request, and how many requests this vendor had before it."""

    number: int
    connection: int
    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> dict[str, object]:
        found: dict[str, object] = msgspec.json.decode(self.body)
        return found


class Say(NamedTuple):
    """`empty`: DATA frames without a byte before the body."""

    status: int = 200
    body: bytes = b""
    headers: tuple[tuple[str, str], ...] = ()
    empty: int = 0


class GoAway(NamedTuple):
    """The connection ends at once; `processed`: what it says of the streams it has seen."""

    processed: bool = False


class Reset(NamedTuple):
    code: ErrorCodes = ErrorCodes.REFUSED_STREAM


class Hang(NamedTuple):
    """Never an answer."""


class Drop(NamedTuple):
    """The connection is gone without a word."""


Does = Say | GoAway | Reset | Hang | Drop
OK = Say()


class PushVendor:
    """`answer` decides what is done with a request; all of them are kept in `asked`."""

    def __init__(self, folder: Path, answer: Callable[[Asked], Does] = lambda asked: OK) -> None:
        self.certificates = Certificates(folder / "vendor")
        self.answer = answer
        self.asked: list[Asked] = []
        self.connections = 0
        self.port = 0
        self._writers: set[asyncio.StreamWriter] = set()
        self._server: asyncio.Server | None = None

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self.port}"

    async def __aenter__(self) -> PushVendor:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.certificates.server.cert, self.certificates.server.key)
        context.set_alpn_protocols(["h2"])
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port, ssl=context)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        for writer in list(self._writers):
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self._writers.add(writer)
        try:
            with suppress(ConnectionError, ProtocolError, asyncio.CancelledError, ssl.SSLError):
                await Connection(self, self.connections, reader, writer).run()
        finally:
            self._writers.discard(writer)
            writer.transport.abort()


class Connection:
    def __init__(
        self, vendor: PushVendor, number: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self._vendor = vendor
        self._number = number
        self._reader, self._writer = reader, writer
        self._h2 = H2Connection(H2Configuration(client_side=False))
        self._requests: dict[int, tuple[dict[str, str], bytearray]] = {}

    async def run(self) -> None:
        self._h2.initiate_connection()
        await self._flush()
        while data := await self._reader.read(65536):
            for event in self._h2.receive_data(data):
                if isinstance(event, RequestReceived):
                    headers = {_text(name): _text(value) for name, value in event.headers or ()}
                    self._requests[event.stream_id] = headers, bytearray()
                elif isinstance(event, DataReceived):
                    self._requests[event.stream_id][1].extend(event.data or b"")
                    self._h2.acknowledge_received_data(event.flow_controlled_length or 0, event.stream_id)
                elif isinstance(event, StreamEnded):
                    if await self._answer(event.stream_id):
                        return
                elif isinstance(event, ConnectionTerminated):
                    return
            await self._flush()

    async def _answer(self, stream: int) -> bool:
        """-> whether the connection ends with it"""
        headers, body = self._requests.pop(stream)
        vendor = self._vendor
        asked = Asked(len(vendor.asked), self._number, headers[":path"], headers, bytes(body))
        vendor.asked.append(asked)
        does = vendor.answer(asked)
        match does:
            case Say(status, content, more, empty):
                self._h2.send_headers(stream, [(":status", str(status)), *more])
                for _ in range(empty):
                    self._h2.send_data(stream, b"")
                self._h2.send_data(stream, content, end_stream=True)
            case Reset(code):
                self._h2.reset_stream(stream, code)
            case GoAway(processed):
                self._h2.close_connection(last_stream_id=stream if processed else 0)
                await self._flush()
                return True
            case Drop():
                return True
        return False

    async def _flush(self) -> None:
        self._writer.write(self._h2.data_to_send())
        await self._writer.drain()


def _text(value: bytes | str) -> str:
    return value if isinstance(value, str) else value.decode()
