"""Talkers: real SDK clients on a real server, whose sends and arrivals go into a Ledger."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from itertools import pairwise
from types import TracebackType
from typing import Literal

from qianwan import Backoff, Client
from qianwan.models import conversation_of

from benchmarks.loadgen.fleet.tokens import TokenMint
from control.keys.server_keys import ServerKeys
from tests.support.chat_ledger import Ledger, Row, row_of
from tests.support.server_process import ServerProcess

ISSUER = AUDIENCE = "qianwan"
SUITES: tuple[Literal["aegis128l", "chachapoly", "aesgcm"], ...] = ("aegis128l", "chachapoly", "aesgcm")
TRANSPORTS = ("tcp", "ws")
EAGER = Backoff(base_s=0.05, cap_s=0.5, settled_s=1.0)
"""Tests want to be back soon; the waiting itself is tested elsewhere."""
HISTORY_PAGE = 100


def token_mint(server: ServerProcess) -> TokenMint:
    """Signs tokens with the server's own key, for tests that need thousands."""
    key = ServerKeys.load(server.data_dir / "keys").current_token(int(time.time()))
    return TokenMint(key.kid, key.seed.hex(), ISSUER, AUDIENCE)


def tokens_for(server: ServerProcess, users: Sequence[str]) -> list[str]:
    block, offsets = token_mint(server).mint(users)
    return [block[a:b].decode() for a, b in pairwise(offsets)]


def root_of(server: ServerProcess) -> str:
    """The root key as LBS tells it."""
    return str(json.loads(server.get("/v1/lbs")[1])["root"])


class Talker:
    """One device. Says what it is told, and writes down what it is acked and shown."""

    def __init__(self, client: Client, user: str, ledger: Ledger, device: str = "") -> None:
        self.client = client
        self.user = user
        self.name = f"{user}/{device}" if device else user
        self.ledger = ledger
        self.said = 0
        self._listening: asyncio.Task[None] | None = None

    async def open(self) -> None:
        await self.client.open()
        # An answered call proves that the server has this device on record, so what follows is kept for it.
        await self.client.call("sync", {"cursor": 0, "limit": 1})
        self._listening = asyncio.create_task(self._listen())

    async def close(self) -> None:
        if self._listening is not None:
            self._listening.cancel()
            await asyncio.gather(self._listening, return_exceptions=True)
        await self.client.close(handled=False)

    async def _listen(self) -> None:
        async for message in self.client.messages():
            self.ledger.saw(self.name, message)

    async def say(self, target: str, filling: str = "") -> None:
        """One message, numbered; returns when it is acknowledged."""
        self.said += 1
        client_id = f"{self.name.replace('/', '.')}-{self.said}"
        self.ledger.own[self.name].add(client_id)
        ack = await self.client.send_to(target, f"{client_id} {filling}", client_id=client_id)
        self.ledger.acked(self.user, client_id, conversation_of(self.user, target), ack)

    async def talk(self, targets: Iterable[str], window: int) -> None:
        """A message to each target in turn, at most `window` of them unanswered at a time."""
        free = asyncio.Semaphore(window)
        async with asyncio.TaskGroup() as group:
            for target in targets:
                await free.acquire()
                group.create_task(self.say(target)).add_done_callback(lambda _: free.release())


class Talkers:
    """Opened together, closed together; suites and transports go round among them."""

    def __init__(
        self,
        server: ServerProcess,
        users: Sequence[str],
        ledger: Ledger,
        *,
        device: str = "",
        backoff: Backoff = EAGER,
    ) -> None:
        root = root_of(server)
        host, port = server.gateway
        self.server = server
        self.ledger = ledger
        self.everybody: list[Talker] = []
        for number, (user, token) in enumerate(zip(users, tokens_for(server, users), strict=True)):
            scheme = TRANSPORTS[number // len(SUITES) % len(TRANSPORTS)]
            client = Client(
                f"{scheme}://{host}:{port}",
                token=token,
                root_key=root,
                device_id=device or "python",
                suite=SUITES[number % len(SUITES)],
                backoff=backoff,
                login_timeout_s=60.0,
                call_timeout_s=30.0,
            )
            self.everybody.append(Talker(client, user, ledger, device))

    async def __aenter__(self) -> list[Talker]:
        await each(self.everybody, "open")
        return self.everybody

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await each(self.everybody, "close")


async def each(talkers: Sequence[Talker], what: str, parallel: int = 50) -> None:
    """`open` or `close` them all, some at a time."""
    slots = asyncio.Semaphore(parallel)

    async def one(talker: Talker) -> None:
        async with slots:
            await (talker.open() if what == "open" else talker.close())

    async with asyncio.TaskGroup() as group:
        for talker in talkers:
            group.create_task(one(talker))


async def eventually(condition: Callable[[], Awaitable[bool]], what: str, timeout_s: float = 20.0) -> None:
    """Return when the condition holds. Raises AssertionError when it does not in time."""
    deadline = time.monotonic() + timeout_s
    while not await condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"never {what} within {timeout_s} s")
        await asyncio.sleep(0.02)


async def read_history(client: Client, conversation: str) -> list[Row]:
    """A whole conversation through the public interface, oldest first."""
    rows: list[Row] = []
    from_seq = 1
    while True:
        page = await client.history(conversation, from_seq=from_seq, limit=HISTORY_PAGE, newest_first=False)
        rows += map(row_of, page)
        if not page.more:
            return rows
        from_seq = page.next
