"""A process that writes to a store without pause, says on stdout what was acknowledged, and gets killed.

python -m tests.support.store_victim ENGINE WHERE SEED
"""

import asyncio
import random
import sys
from collections.abc import Awaitable, Callable

from im_service.storage.errors import StoreError
from im_service.storage.records import Mark
from im_service.storage.store import Store
from tests.support.store_kit import append, last_seq, message, open_store

GROUPS = 4
PEERS = 6


def say(*words: object) -> None:
    """One line per acknowledged change; flushed, so that it is out before the next thing happens."""
    print(*words, flush=True)


class Victim:
    def __init__(self, store: Store, seed: int) -> None:
        self._store = store
        self._rng = random.Random(seed)
        self._next = seed * 1_000_000
        self.moves: list[Callable[[str], Awaitable[None]]] = [
            self.send, self.send, self.send, self.add, self.remove, self.recall, self.edit, self.befriend,
            self.read,
        ]  # fmt: skip

    async def live(self) -> None:
        while True:
            self._next += 1
            try:
                await self._rng.choice(self.moves)(str(self._next))
            except StoreError as error:
                say("refused", type(error).__name__)

    def _group(self) -> str:
        return f"x{self._rng.randrange(GROUPS)}"

    async def send(self, number: str) -> None:
        batch = [
            message(f"s/a:b{self._rng.randrange(PEERS)}", "a", f"{number}.{i}", body=number.encode())
            for i in range(self._rng.randrange(1, 20))
        ]
        for sent, result in zip(batch, await append(self._store, batch), strict=True):
            say("sent", sent.conversation, sent.client_id, result.seq)

    async def add(self, number: str) -> None:
        group, user = self._group(), f"u{number}"
        notice = message("g/" + group, "owner", f"add {user}")
        await self._store.add_members(group, [user], 1, notices=[notice])
        say("added", group, user)

    async def remove(self, number: str) -> None:
        group = self._group()
        members = (await self._store.members(group)).items
        user = self._rng.choice(members).user
        notice = message("g/" + group, "owner", f"out {user}")
        await self._store.remove_members(group, [user], 1, notices=[notice])

    async def recall(self, number: str) -> None:
        talk = f"s/a:b{self._rng.randrange(PEERS)}"
        last = await last_seq(self._store, talk)
        seq = self._rng.randrange(1, last + 2)
        await self._store.recall(talk, seq, b"gone", 1, [message("g/x0", "owner", f"recall {talk} {seq}")])
        say("recalled", talk, seq)

    async def edit(self, number: str) -> None:
        talk = f"s/a:b{self._rng.randrange(PEERS)}"
        await self._store.edit(talk, self._rng.randrange(1, 40), "a", number.encode(), 1)

    async def befriend(self, number: str) -> None:
        await self._store.befriend("a", f"f{number}", 1)
        say("friends", f"f{number}")

    async def read(self, number: str) -> None:
        talk = f"s/a:b{self._rng.randrange(PEERS)}"
        for mark in await self._store.read(talk[4:], [Mark(talk, self._rng.randrange(1, 1000))]):
            say("read", talk[4:], mark.conversation, mark.seq)


async def main(engine: str, where: str, seed: int) -> None:
    store = open_store(engine, where)
    await store.start()
    for number in range(GROUPS):
        try:
            await store.create_group(f"x{number}", "owner", b"", [], 5000, 1)
        except StoreError:
            continue  # an earlier life made it
    say("ready")
    async with asyncio.TaskGroup() as tasks:
        for number in range(8):
            tasks.create_task(Victim(store, seed * 10 + number).live())


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3])))
