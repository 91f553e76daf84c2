"""HTTP requests to servers that others run.

On the pool below httpx2, which does what it is told: no proxy from the environment, no cookies, no redirect,
no decompression. Every request has one budget from the first look-up of the name to the last byte of the
answer, and an answer has a bound.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import httpcore2

from control.errors import StartError
from control.outgoing.addresses import AddressPolicy
from control.outgoing.connections import CheckedAddresses, Refused, Stream, has_surplus
from control.outgoing.errors import OutgoingError
from control.settings.outgoing_section import OutgoingSection

CONNECTIONS = 256
"""At once, of one client: each is a descriptor. Beyond: requests wait for one, within their budget."""
IDLE_S = 30.0
"""A connection without requests is kept so long: less than servers keep theirs (nginx 75 s, balancers 60
s)."""
AGENT = "Qianwan"
WEARS = ("broken", "timeout")
"""What an HTTP/2 connection that broke looks like: its pool is replaced."""


class Answer(NamedTuple):
    """`headers` by lower-case name; of a name that came twice the last. 3xx is an answer like any other."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def good(self) -> bool:
        return 200 <= self.status < 300


def make_client(outgoing: OutgoingSection, *, http2: bool = False) -> OutgoingClient:
    """By the settings of this process. Raises StartError for authorities that cannot be read."""
    policy = AddressPolicy(outgoing.networks, outgoing.plain_http)
    try:
        return OutgoingClient(policy, ca_file=Path(outgoing.ca) if outgoing.ca else None, http2=http2)
    except (OSError, ssl.SSLError) as error:
        raise StartError(f"outgoing.ca: {outgoing.ca}: {error}") from None


class _Asked(NamedTuple):
    """One request, and what it may cost."""

    method: str
    url: str
    headers: Mapping[str, str]
    body: bytes
    budget_s: float
    answer_bytes: int


class _Pool:
    """Connections, and how many requests are under way over them. `worn`: used for nothing new."""

    def __init__(self, inner: httpcore2.AsyncConnectionPool) -> None:
        self.inner = inner
        self.under_way = 0
        self.worn = False


class OutgoingClient:
    """One pool of connections. Made and used in one event loop; `close` ends what is under way with
    OutgoingError("closed").

    With HTTP/2 the pool below keeps a connection that broke (GOAWAY too) as neither usable nor closed until
    it would have been idle for long enough, and is full of them after some (httpcore2 2.16). So a pool in
    which a connection broke is used for nothing new, and closed when what is under way in it is done.
    """

    def __init__(
        self,
        policy: AddressPolicy,
        *,
        ca_file: Path | None = None,
        http2: bool = False,
        connections: int = CONNECTIONS,
    ) -> None:
        self.policy = policy
        self._context = httpcore2.default_ssl_context()
        if ca_file is not None:
            self._context.load_verify_locations(cafile=ca_file)
        self._http2 = http2
        self._connections = connections
        self._pool = self._fresh()
        self._worn: set[_Pool] = set()
        self._under_way: set[asyncio.Task[Any]] = set()
        self._closing: set[asyncio.Task[None]] = set()
        self._closed = False

    def _fresh(self) -> _Pool:
        return _Pool(
            httpcore2.AsyncConnectionPool(
                ssl_context=self._context,
                max_connections=self._connections,
                max_keepalive_connections=self._connections,
                keepalive_expiry=IDLE_S,
                http2=self._http2,
                network_backend=CheckedAddresses(self.policy, many_at_once=self._http2),
            )
        )

    async def request(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        body: bytes = b"",
        *,
        budget_s: float,
        answer_bytes: int,
    ) -> Answer:
        """Raises OutgoingError. After `address`, `connect` and `tls` nothing was sent; else nobody knows what
        came of it. `headers` are sent as they are, beside Host and Content-Length."""
        try:
            self.policy.check_url(url)
        except ValueError as error:
            raise OutgoingError("address", str(error)) from None
        if self._closed:
            raise OutgoingError("closed", "this process ends")
        asked = _Asked(method, url, headers, body, budget_s, answer_bytes)
        task = asyncio.create_task(self._ask(asked))
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)
        try:
            return await task
        except asyncio.CancelledError:
            task.cancel()
            if self._closed and (here := asyncio.current_task()) is not None and not here.cancelling():
                raise OutgoingError("closed", "this process ends") from None
            raise

    async def post(
        self, url: str, headers: Mapping[str, str], body: bytes, *, budget_s: float, answer_bytes: int
    ) -> Answer:
        return await self.request("POST", url, headers, body, budget_s=budget_s, answer_bytes=answer_bytes)

    async def close(self) -> None:
        self._closed = True
        left = list(self._under_way)
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)
        for pool in (self._pool, *self._worn):
            await pool.inner.aclose()
        await asyncio.gather(*self._closing, return_exceptions=True)

    async def _ask(self, asked: _Asked) -> Answer:
        pool = self._pool
        pool.under_way += 1
        try:
            return await _ask(pool.inner, asked)
        except OutgoingError as error:
            if self._http2 and error.kind in WEARS and pool is self._pool:
                pool.worn = True
                self._worn.add(pool)
                self._pool = self._fresh()
            raise
        finally:
            pool.under_way -= 1
            if pool.worn and not pool.under_way and not self._closed:
                self._worn.discard(pool)
                closing = asyncio.create_task(pool.inner.aclose())
                self._closing.add(closing)
                closing.add_done_callback(self._closing.discard)


async def _ask(pool: httpcore2.AsyncConnectionPool, asked: _Asked) -> Answer:
    """Raises OutgoingError."""
    try:
        async with asyncio.timeout(asked.budget_s):
            return await _exchange(pool, asked)
    except (TimeoutError, httpcore2.TimeoutException):
        raise OutgoingError("timeout", f"no answer within {asked.budget_s:g} s") from None
    except Refused as error:
        raise OutgoingError("address", str(error)) from None
    except httpcore2.ConnectError as error:
        secure = isinstance(error.__cause__ or error.__context__, ssl.SSLError)
        raise OutgoingError("tls" if secure else "connect", str(error) or "no connection") from None
    except (httpcore2.NetworkError, httpcore2.ProtocolError, OSError) as error:
        raise OutgoingError("broken", str(error) or "the connection ended") from None


async def _exchange(pool: httpcore2.AsyncConnectionPool, asked: _Asked) -> Answer:
    sent = [("User-Agent", AGENT), ("Accept-Encoding", "identity"), *asked.headers.items()]
    extensions = {"timeout": dict.fromkeys(("connect", "read", "write", "pool"), asked.budget_s)}
    async with pool.stream(
        asked.method, asked.url, headers=sent, content=asked.body, extensions=extensions
    ) as answer:
        stream = answer.extensions["network_stream"]
        if not isinstance(stream, Stream):
            raise OutgoingError("broken", "it switches to another protocol")
        stream.head_came(asked.answer_bytes)
        got = bytearray()
        async for part in answer.aiter_stream():
            got += part
            if len(got) > asked.answer_bytes:
                raise OutgoingError("large", f"the answer is longer than {asked.answer_bytes} bytes")
        stream.answer_came(has_surplus(answer))
    found = {name.decode("latin-1").lower(): text.decode("latin-1") for name, text in answer.headers}
    return Answer(answer.status, found, bytes(got))
