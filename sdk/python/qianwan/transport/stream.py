"""`open_stream` gives one duplex byte stream, whatever carries it; bytes arrive through callbacks, in
order.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import sys
from typing import NamedTuple, Protocol, cast

from qianwan.constants import WS_KNOWN
from qianwan.errors import HandshakeRejected, ProtocolError
from qianwan.protocol.websocket import WebSocketClient
from qianwan.transport.address import Address

_THIN_LINEAR_TIMEOUTS = 16  # Linux; the socket module has no name for these two
_MPTCP = 262


class SocketOptions(NamedTuple):
    """What a TCP socket of a client is told, where its system can. `user_timeout_s`: so long may bytes
    stay unacknowledged until the connection counts as dead (0: the system's choice). `thin_stream`: lost
    packets of few are sent again after even times. `mptcp`: use a second path when there is one.
    """

    user_timeout_s: float = 30.0
    thin_stream: bool = True
    mptcp: bool = False

    def apply(self, raw: socket.socket) -> None:
        chosen = [(socket.TCP_NODELAY, 1)]
        if self.user_timeout_s and hasattr(socket, "TCP_USER_TIMEOUT"):
            chosen.append((socket.TCP_USER_TIMEOUT, int(self.user_timeout_s * 1000)))
        if self.thin_stream and sys.platform == "linux":
            chosen.append((_THIN_LINEAR_TIMEOUTS, 1))
        for option, value in chosen:
            with contextlib.suppress(OSError):  # a kernel without it
                raw.setsockopt(socket.IPPROTO_TCP, option, value)


USUAL_SOCKETS = SocketOptions()


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

    def __init__(self, receiver: Receiver, options: SocketOptions) -> None:
        self._receiver = receiver
        self._options = options

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is one by behaviour only
        raw = transport.get_extra_info("socket")
        if raw is not None and raw.family in (socket.AF_INET, socket.AF_INET6):
            self._options.apply(raw)

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
        self,
        receiver: Receiver,
        options: SocketOptions,
        address: Address,
        upgraded: asyncio.Future[None],
        *,
        known: bool,
    ) -> None:
        super().__init__(receiver, options)
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


async def _multipath(address: Address) -> socket.socket | None:
    """A connected MPTCP socket; None where this system has none. Raises OSError."""
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM)
    family, _, _, _, place = found[0]
    try:
        raw = socket.socket(family, socket.SOCK_STREAM, _MPTCP)
    except OSError:
        return None
    try:
        raw.setblocking(False)
        await loop.sock_connect(raw, place)
    except BaseException:
        raw.close()
        raise
    return raw


async def open_stream(
    address: Address,
    receiver: Receiver,
    tls: ssl.SSLContext | None = None,
    *,
    known: bool = False,
    options: SocketOptions = USUAL_SOCKETS,
) -> Stream:
    """Connect to `address`; returns when bytes may be written. `known`: the client was logged in before.
    Raises OSError, ProtocolError or HandshakeRejected (OVERLOADED).
    """
    loop = asyncio.get_running_loop()
    if address.transport == "tcp":
        raw = await _multipath(address) if options.mptcp else None
        if raw is not None:
            _, tcp = await loop.create_connection(lambda: TcpStream(receiver, options), sock=raw)
        else:
            host, port = address.host, address.port
            _, tcp = await loop.create_connection(lambda: TcpStream(receiver, options), host, port)
        return tcp
    context = (tls or ssl.create_default_context()) if address.transport == "wss" else None
    upgraded: asyncio.Future[None] = loop.create_future()
    transport, stream = await loop.create_connection(
        lambda: WebSocketStream(receiver, options, address, upgraded, known=known),
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
