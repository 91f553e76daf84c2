"""`open_stream` gives one duplex byte stream, whatever carries it; bytes arrive through callbacks, in
order.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from typing import Protocol, cast

from qianwan.constants import WS_KNOWN
from qianwan.errors import HandshakeRejected, ProtocolError
from qianwan.protocol.websocket import WebSocketClient
from qianwan.transport.address import Address


class Receiver(Protocol):
    """Who wants the bytes. `stream_closed` comes exactly once, after the last `stream_data`."""

    def stream_data(self, data: bytes) -> None: ...

    def stream_closed(self, error: Exception | None) -> None: ...


class Stream(Protocol):
    """What `open_stream` returns."""

    def write(self, data: bytes) -> None:
        """Queue bytes for sending; never blocks, ignored once closing."""

    def close(self) -> None:
        """Send what is queued, then close."""

    def abort(self) -> None:
        """Drop the connection at once."""

    def backlog(self) -> int:
        """Bytes written but not yet taken by the system."""


class TcpStream(asyncio.Protocol):
    """A TCP connection handed through as it is."""

    _transport: asyncio.Transport

    def __init__(self, receiver: Receiver) -> None:
        self._receiver = receiver

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is one by behaviour only
        raw = transport.get_extra_info("socket")
        if raw is not None and raw.family in (socket.AF_INET, socket.AF_INET6):
            raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def data_received(self, data: bytes) -> None:
        self._receiver.stream_data(data)

    def connection_lost(self, exc: Exception | None) -> None:
        self._receiver.stream_closed(exc)

    def write(self, data: bytes) -> None:
        if not self._transport.is_closing():
            self._transport.write(data)

    def close(self) -> None:
        self._transport.close()

    def abort(self) -> None:
        self._transport.abort()

    def backlog(self) -> int:
        return self._transport.get_write_buffer_size()


class WebSocketStream(TcpStream):
    """The same stream inside binary WebSocket messages."""

    def __init__(
        self, receiver: Receiver, address: Address, upgraded: asyncio.Future[None], *, known: bool
    ) -> None:
        super().__init__(receiver)
        path = f"{address.path}?{WS_KNOWN}" if known else address.path
        self._socket = WebSocketClient(address.authority, path)
        self._upgraded = upgraded
        self._failure: Exception | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        super().write(self._socket.request())

    def data_received(self, data: bytes) -> None:
        endpoint = self._socket
        try:
            payload = endpoint.receive(data)
        except (ProtocolError, HandshakeRejected) as error:
            self._failure = error
            self._transport.abort()
            return
        if endpoint.open and not self._upgraded.done():
            self._upgraded.set_result(None)
        if payload:
            self._receiver.stream_data(payload)
        if endpoint.outgoing:
            super().write(bytes(endpoint.outgoing))
            endpoint.outgoing.clear()
        if endpoint.closed is not None:
            self._transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        failure = self._failure or exc
        if not self._upgraded.done():
            self._upgraded.set_exception(
                failure or ConnectionResetError("closed during the WebSocket upgrade")
            )
            return
        self._receiver.stream_closed(failure)

    def write(self, data: bytes) -> None:
        super().write(self._socket.wrap(data))

    def close(self) -> None:
        super().write(self._socket.close())
        super().close()


async def open_stream(
    address: Address, receiver: Receiver, tls: ssl.SSLContext | None = None, *, known: bool = False
) -> Stream:
    """Connect to `address`; returns when bytes may be written. `known`: the client was logged in before.
    Raises OSError, ProtocolError or HandshakeRejected (OVERLOADED).
    """
    loop = asyncio.get_running_loop()
    if address.transport == "tcp":
        _, tcp = await loop.create_connection(lambda: TcpStream(receiver), address.host, address.port)
        return tcp
    context = (tls or ssl.create_default_context()) if address.transport == "wss" else None
    upgraded: asyncio.Future[None] = loop.create_future()
    transport, stream = await loop.create_connection(
        lambda: WebSocketStream(receiver, address, upgraded, known=known),
        address.host,
        address.port,
        ssl=context,
    )
    try:
        await upgraded
    except BaseException:
        transport.abort()
        raise
    return stream
