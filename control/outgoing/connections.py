"""Connections to servers that others run: to which addresses, and how much they may say when.

An answer is that to the request before it only if nothing else was said in between: a connection on which a
byte too many came is used for nothing more, and looked at before each request. What comes before the head of
an answer (1xx) is bounded, and so is what the chunks of its body are wrapped in.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
import time
from collections.abc import Iterable, Sequence
from typing import Any, cast

import h11
import httpcore2
from anyio.streams.tls import TLSAttribute, TLSStream

from control.outgoing.addresses import AddressPolicy

LOOK_S = 0.02
HEAD_BYTES = 16 << 10
"""Of an answer before its body, 1xx included: some 30 ms of parsing at the worst. Beyond: it is broken."""
HEAD_READ = 2 << 10
"""Read at once of it: the loop goes on in between."""
WRAPPED = 8
"""Bytes read for each byte of a body that is allowed: chunks of one byte have six around it."""


class Refused(Exception):
    """An address that is not called."""


class Stream(httpcore2.AsyncNetworkStream):
    """A connection that is not looked at more often than every LOOK_S whether its other end has closed it:
    the pool asks that of every idle one with each request, by a call to the kernel. Unless `many_at_once`
    (HTTP/2) it bounds what is read for one request and is looked at before the next is written."""

    def __init__(self, inner: httpcore2.AsyncNetworkStream, many_at_once: bool) -> None:
        self._inner = inner
        self._many_at_once = many_at_once
        self._looked = -LOOK_S
        self._left = HEAD_BYTES
        self._in_head = True
        self._idle = False
        self._spoilt = False

    def head_came(self, answer_bytes: int) -> None:
        """The head of an answer was read whole: its body may be so long."""
        self._in_head = False
        self._left = HEAD_BYTES + WRAPPED * answer_bytes

    def answer_came(self, surplus: bool) -> None:
        """It was read whole; with a `surplus` nothing that follows can be believed."""
        self._idle = not self._many_at_once
        self._spoilt = self._spoilt or surplus

    async def read(
        self,
        max_bytes: int,
        timeout: float | None = None,  # noqa: ASYNC109  (as its base has it)
    ) -> bytes:
        if self._many_at_once:
            return await self._inner.read(max_bytes, timeout)
        if self._left <= 0:
            raise httpcore2.RemoteProtocolError("too much around the answer")
        got = await self._inner.read(min(max_bytes, HEAD_READ) if self._in_head else max_bytes, timeout)
        self._left -= len(got)
        if self._in_head:
            await asyncio.sleep(0)
        return got

    async def write(
        self,
        buffer: bytes,
        timeout: float | None = None,  # noqa: ASYNC109  (as its base has it)
    ) -> None:
        if self._idle:
            if self._spoilt or self._holds_more():
                self._spoilt = True
                raise httpcore2.ConnectionNotAvailable  # the pool takes another one
            self._idle, self._in_head, self._left = False, True, HEAD_BYTES
        await self._inner.write(buffer, timeout)

    def _holds_more(self) -> bool:
        """Before a request: an end, or bytes that nobody asked for, in the socket or on their way from it."""
        if self._inner.get_extra_info("is_readable"):
            return True
        try:
            return _holds_unread(self._inner)
        except AttributeError:
            return True  # whoever cannot be looked into is used once

    async def aclose(self) -> None:
        await self._inner.aclose()

    async def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,  # noqa: ASYNC109  (as its base has it)
    ) -> httpcore2.AsyncNetworkStream:
        return Stream(await self._inner.start_tls(ssl_context, server_hostname, timeout), self._many_at_once)

    def get_extra_info(self, info: str) -> Any:
        if info == "is_readable":
            if self._spoilt:
                return True
            now = time.monotonic()
            if now - self._looked < LOOK_S:
                return False
            self._looked = now
        return self._inner.get_extra_info(info)


def has_surplus(answer: httpcore2.Response) -> bool:
    """Whether more came with the end of an HTTP/1.1 answer, which the pool keeps to itself."""
    held: object = answer.stream
    while not hasattr(held, "_connection"):
        if (held := getattr(held, "_stream", None)) is None:
            return True
    parser: h11.Connection | None = getattr(held._connection, "_h11_state", None)
    return parser is not None and bool(parser.trailing_data[0])


def _holds_unread(stream: object) -> bool:
    """Whether bytes lie between the kernel and whoever reads: decrypted, to be decrypted, or cut off from
    what was asked for. Raises AttributeError where httpcore2 or anyio keep them elsewhere."""
    inner: object = getattr(stream, "_stream")  # noqa: B009
    if isinstance(inner, TLSStream):
        pending: int = getattr(inner, "_read_bio").pending  # noqa: B009
        if pending or inner.extra(TLSAttribute.ssl_object).pending():
            return True
        inner = inner.transport_stream
    return bool(getattr(inner, "_protocol").read_queue)  # noqa: B009


class CheckedAddresses(httpcore2.AsyncNetworkBackend):
    """Connects to what the policy lets through of a name's addresses, one after the other: each has its share
    of the time that is left, so that one that swallows everything leaves time for the next."""

    def __init__(self, policy: AddressPolicy, many_at_once: bool) -> None:
        self._policy = policy
        self._many_at_once = many_at_once
        self._inner = httpcore2.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109  (as its base has it)
        local_address: str | None = None,
        socket_options: Iterable[httpcore2.SOCKET_OPTION] | None = None,
    ) -> httpcore2.AsyncNetworkStream:
        loop = asyncio.get_running_loop()
        until = loop.time() + (timeout if timeout is not None else 60.0)
        addresses = await self._addresses(host, port)
        trouble: Exception | None = None
        for n, address in enumerate(addresses):
            share = (until - loop.time()) / (len(addresses) - n)
            if share <= 0:
                break
            try:
                stream = await self._inner.connect_tcp(address, port, share, local_address, socket_options)
                return Stream(stream, self._many_at_once)
            except (httpcore2.ConnectError, httpcore2.ConnectTimeout) as error:
                trouble = error
        raise trouble or httpcore2.ConnectTimeout("no time left to connect")

    async def _addresses(self, host: str, port: int) -> Sequence[str]:
        loop = asyncio.get_running_loop()
        try:
            found = await loop.getaddrinfo(host.strip("[]"), port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError) as error:
            raise httpcore2.ConnectError(f"no address of {host}: {error}") from None
        addresses = list(dict.fromkeys(cast(str, each[4][0]) for each in found))
        refused = ""
        good = []
        for address in addresses:
            try:
                self._policy.check_address(address)
                good.append(address)
            except ValueError as error:
                refused = str(error)
        if not good:
            raise Refused(refused or f"no address of {host}")
        return good

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)
