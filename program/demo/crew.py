"""Scene two: a group, one member on every suite and transport, everybody talks and everybody hears."""

from __future__ import annotations

import asyncio
import itertools
import json
import urllib.request
from collections import Counter
from collections.abc import Callable

import qianwan

from program.demo.tally import SUITES, TRANSPORTS, Row

HEAR_S = 20.0


class Mate:
    """One member: sends numbered texts to the group and keeps what the others said."""

    def __init__(self, name: str, row: Row) -> None:
        self.name = name
        self.row = row
        self.got: list[str] = []
        self.last_seq = 0
        self.grew = asyncio.Event()
        self.client: qianwan.Client | None = None
        self._reader: asyncio.Task[None] | None = None

    async def come(self, url: str, token: str) -> None:
        self.client = qianwan.Client(
            url, token=token, device_id=f"{self.name}-1", suite=self.row.suite, transport=self.row.transport
        )
        await self.client.open()
        self._reader = asyncio.create_task(self._read(self.client))

    async def say(self, group: str, count: int, progress: Callable[[], None]) -> None:
        if self.client is None:
            raise RuntimeError("not logged in")
        for number in range(count):
            self.row.sent += 1
            await self.client.send_group(group, f"{self.name} {number}")
            self.row.acked += 1
            progress()

    async def hears(self, expected: set[str]) -> None:
        """Wait until every expected text is here or the time is over; then settle the account."""
        try:
            async with asyncio.timeout(HEAR_S):
                while not expected <= set(self.got):
                    self.grew.clear()
                    await self.grew.wait()
        except TimeoutError:
            pass
        counts = Counter(self.got)
        self.row.expected, self.row.delivered = len(expected), len(self.got)
        self.row.lost = len(expected - set(counts))
        self.row.doubled = sum(count - 1 for count in counts.values())

    async def go(self) -> None:
        if self.client is not None:
            await self.client.close()
        if self._reader is not None:
            await asyncio.gather(self._reader, return_exceptions=True)

    async def _read(self, client: qianwan.Client) -> None:
        async for message in client.messages():
            if message.text and message.sender != self.name:
                self.got.append(message.text)
                self.row.swapped += message.seq <= self.last_seq
                self.last_seq = message.seq
                self.grew.set()


async def crew(
    url: str, api_key: str, token: Callable[[str], str], each: int, progress: Callable[[], None]
) -> list[Row]:
    """Run the scene: six members, `each` messages by each of them. Returns one row per member."""
    kinds = list(itertools.product(SUITES, TRANSPORTS))
    mates = [Mate(f"mate{n}", Row("group", *kind, 1)) for n, kind in enumerate(kinds)]
    names = [mate.name for mate in mates]
    group = await asyncio.to_thread(_found, url, api_key, names)
    await asyncio.gather(*(mate.come(url, token(mate.name)) for mate in mates))
    await asyncio.gather(*(mate.say(group, each, progress) for mate in mates))
    texts = {name: {f"{name} {number}" for number in range(each)} for name in names}
    await asyncio.gather(
        *(mate.hears(set().union(*(texts[name] for name in names if name != mate.name))) for mate in mates)
    )
    await asyncio.gather(*(mate.go() for mate in mates))
    return [mate.row for mate in mates]


def _found(url: str, api_key: str, names: list[str]) -> str:
    """Found the group through the HTTP API, as an app server does. Returns its id."""
    body = json.dumps({"owner": names[0], "members": names[1:], "name": "crew"}).encode()
    headers = {"Content-Type": "application/json", "X-API-Key": api_key}
    with urllib.request.urlopen(urllib.request.Request(f"{url}/v1/groups", body, headers)) as answer:
        return str(json.load(answer)["group"])
