"""Scene one: two users exchange messages, one of them goes away in the middle and catches up."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterable

import qianwan

from program.demo.tally import Row

AT_ONCE = 64
CATCH_UP_S = 20.0


class Talker:
    """One side: sends numbered texts, keeps what it got from the other side, in order of arrival."""

    def __init__(self, name: str, other: str, row: Row) -> None:
        self.name = name
        self.other = other
        self.row = row
        self.store = qianwan.MemoryCursor()
        self.client: qianwan.Client | None = None
        self.got: list[str] = []
        self.last_seq = 0
        self.grew = asyncio.Event()
        self._reader: asyncio.Task[None] | None = None

    async def come(self, url: str, token: str) -> None:
        """Log in, with the memory of what this device has read."""
        self.client = qianwan.Client(
            url,
            token=token,
            device_id=f"{self.name}-1",
            suite=self.row.suite,
            transport=self.row.transport,
            store=self.store,
        )
        await self.client.open()
        self._reader = asyncio.create_task(self._read(self.client))

    async def go(self) -> None:
        """Leave; the reader has handed over everything it was given."""
        if self.client is not None:
            await self.client.close()
            self.client = None
        if self._reader is not None:
            await asyncio.gather(self._reader, return_exceptions=True)

    async def say(self, numbers: Iterable[int], progress: Callable[[], None]) -> None:
        """Send texts "<name> <number>", many at a time, and wait for every acknowledgement."""
        client = self.client
        if client is None:
            raise RuntimeError("not logged in")
        slots = asyncio.Semaphore(AT_ONCE)

        async def one(number: int) -> None:
            async with slots:
                self.row.sent += 1
                await client.send(self.other, f"{self.name} {number}")
                self.row.acked += 1
                progress()

        await asyncio.gather(*(one(number) for number in numbers))

    async def has(self, count: int) -> None:
        """Wait until `count` different texts are here, or the time to catch up is over."""
        try:
            async with asyncio.timeout(CATCH_UP_S):
                while len(set(self.got)) < count:
                    self.grew.clear()
                    await self.grew.wait()
        except TimeoutError:
            return

    def settle(self, expected: Iterable[str]) -> None:
        """Compare what came with what was sent."""
        wanted = set(expected)
        counts = Counter(self.got)
        self.row.expected = len(wanted)
        self.row.delivered = len(self.got)
        self.row.lost = len(wanted - set(counts))
        self.row.doubled = sum(count - 1 for count in counts.values())

    async def _read(self, client: qianwan.Client) -> None:
        async for message in client.messages():
            if message.sender == self.other:
                self.got.append(message.text)
                self.row.swapped += message.seq <= self.last_seq
                self.last_seq = message.seq
                self.grew.set()


async def talk(
    url: str, token: Callable[[str], str], messages: int, progress: Callable[[], None]
) -> list[Row]:
    """Run the scene with `messages` messages in all. Returns one row per user."""
    alice = Talker("alice", "bob", Row("users", "aegis128l", "tcp", 1))
    bob = Talker("bob", "alice", Row("users", "aesgcm", "ws", 1))
    half = messages // 2
    away = half // 2
    await alice.come(url, token("alice"))
    await bob.come(url, token("bob"))
    await asyncio.gather(alice.say(range(away), progress), bob.say(range(away), progress))
    await bob.go()
    await alice.say(range(away, half), progress)
    await bob.come(url, token("bob"))
    await bob.say(range(away, messages - half), progress)
    await asyncio.gather(bob.has(half), alice.has(messages - half))
    await asyncio.gather(alice.go(), bob.go())
    bob.settle(f"alice {number}" for number in range(half))
    alice.settle(f"bob {number}" for number in range(messages - half))
    return [alice.row, bob.row]
