"""Faults of a running cluster while people send: what was lost, doubled, swapped, and how long it took until
all was normal. `make faults` prints the table.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import time
from collections import Counter
from collections.abc import Callable, Sequence
from itertools import pairwise

import msgspec
import qianwan

from program.access import Access
from program.cluster.local import LocalCluster

ROOM = "faults"
STOPPED_S = 10.0
NORMAL_S = 180.0
SETTLE_S = 120.0
POLL_S = 0.05
OPEN_AT_ONCE = 20
OPEN_S = 60.0
EAGER = qianwan.Backoff(base_s=0.1, cap_s=2.0, settled_s=1.0)


class Outcome(msgspec.Struct, frozen=True):
    """A line of the table. `normal_s`: from the fault until every process is well and everybody hears a probe
    in the group and in the room."""

    fault: str
    victim: str
    acked: int
    lost: int
    doubled: int
    swapped: int
    normal_s: float
    whole: bool

    @property
    def clean(self) -> bool:
        return self.whole and not (self.lost or self.doubled or self.swapped)


class Sender:
    """One user: sends to the next one all the time, hears the group, the room and the one before."""

    def __init__(self, name: str, urls: Sequence[str], token: str) -> None:
        self.name = name
        self.client = qianwan.Client(
            list(urls),
            token=token,
            device_id="faults",
            backoff=EAGER,
            login_timeout_s=OPEN_S,
        )
        self.acked: dict[str, int] = {}
        self.heard: list[tuple[str, int]] = []
        self.probes: set[str] = set()
        self.number = 0
        self._tasks: list[asyncio.Task[None]] = []

    async def come(self) -> None:
        await self.client.open()
        self.room = await self.client.join_room(ROOM)
        self._tasks = [asyncio.create_task(self._listen()), asyncio.create_task(self._listen_in_room())]

    async def go(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.client.close(handled=False)

    async def send_to(self, other: str, pace_s: float, stop: asyncio.Event) -> None:
        """One after the other: each is acknowledged before the next is sent, so that their order is known."""
        while not stop.is_set():
            self.number += 1
            text = f"{self.name} {self.number}"
            # A refusal, or an outcome that nobody knows, is no acknowledgement.
            with contextlib.suppress(qianwan.RequestError):
                ack = await self.client.send(other, text)
                self.acked[text] = ack.seq
            await asyncio.sleep(pace_s)

    async def _listen(self) -> None:
        async for message in self.client.messages():
            if message.text.startswith("probe "):
                self.probes.add(message.text)
            elif message.text.startswith(f"{message.sender} ") and message.sender != self.name:
                self.heard.append((message.text, message.seq))

    async def _listen_in_room(self) -> None:
        async for message in self.room:
            self.probes.add(message.text)


class Crowd:
    """Users in a ring, one group of all, one room of all."""

    def __init__(self, cluster: LocalCluster, size: int, pace_s: float) -> None:
        self._cluster = cluster
        self._size = size
        self._pace_s = pace_s
        self.senders: list[Sender] = []
        self._stop = asyncio.Event()
        self._sending: list[asyncio.Task[None]] = []

    async def come(self) -> None:
        plan = self._cluster.plan
        access = Access(plan.lbs[0], self._cluster.api_key())
        run = secrets.token_hex(3)
        names = [f"u{run}-{number}" for number in range(self._size)]
        await asyncio.to_thread(access.room, ROOM)
        tokens = [await asyncio.to_thread(access.token, name) for name in names]
        self.senders = [Sender(*each) for each in zip(names, [plan.lbs] * self._size, tokens, strict=True)]
        slots = asyncio.Semaphore(OPEN_AT_ONCE)

        async def one(sender: Sender) -> None:
            async with slots:
                await sender.come()

        await asyncio.gather(*map(one, self.senders))
        found = await asyncio.to_thread(access.group, names[0], names[1:])
        self.group = found
        for sender, other in zip(self.senders, [*names[1:], names[0]], strict=True):
            self._sending.append(
                asyncio.create_task(sender.send_to(other, self._pace_s, self._stop), name=sender.name)
            )

    async def go(self) -> None:
        self._stop.set()
        for task in self._sending:
            task.cancel()
        await asyncio.gather(*self._sending, return_exceptions=True)
        await asyncio.gather(*(sender.go() for sender in self.senders))

    @property
    def acked(self) -> int:
        return sum(len(sender.acked) for sender in self.senders)

    async def moves(self) -> bool:
        """Everybody gets a further acknowledgement."""
        had = [len(sender.acked) for sender in self.senders]
        return await until(
            lambda: all(len(s.acked) > n for s, n in zip(self.senders, had, strict=True)), NORMAL_S
        )

    async def whole(self) -> bool:
        """Everybody hears a probe in the group and one in the room."""
        one, *others = self.senders
        in_group, in_room = (f"probe {secrets.token_hex(4)}" for _ in range(2))
        deadline = time.monotonic() + NORMAL_S
        sent = False
        while time.monotonic() < deadline:
            with contextlib.suppress(qianwan.RequestError):
                if not sent:
                    await one.client.send_group(self.group, in_group)
                    sent = True
                await one.room.send(in_room)
            await asyncio.sleep(0.5)
            if all({in_group, in_room} <= each.probes for each in others):
                return True
        return False

    async def count(self) -> tuple[int, int, int]:
        """(lost, doubled, swapped) of all that was acknowledged so far."""
        due = [(sender, list(sender.acked)) for sender in self.senders]
        receivers = [*self.senders[1:], self.senders[0]]
        await until(
            lambda: all(
                {text for text, _ in receiver.heard}.issuperset(texts)
                for (_, texts), receiver in zip(due, receivers, strict=True)
            ),
            SETTLE_S,
        )
        lost = doubled = swapped = 0
        for (_, texts), receiver in zip(due, receivers, strict=True):
            counts = Counter(text for text, _ in receiver.heard)
            lost += len(set(texts) - set(counts))
            doubled += sum(count - 1 for count in counts.values())
            numbers = [int(text.rpartition(" ")[2]) for text, _ in receiver.heard]
            swapped += sum(late < early for early, late in pairwise(numbers))
        return lost, doubled, swapped


async def inject(cluster: LocalCluster, crowd: Crowd, fault: str, victim: str) -> Outcome:
    """`killed` (and started again at once) or `stopped` for 10 s."""
    before = crowd.acked
    since = time.monotonic()
    if fault == "killed":
        await asyncio.to_thread(cluster.kill, victim)
        await asyncio.to_thread(cluster.start, [victim])
    else:
        cluster.freeze(victim)
        try:
            await asyncio.sleep(STOPPED_S)
        finally:
            cluster.go_on(victim)
    await asyncio.to_thread(cluster.await_well, list(cluster.processes))
    whole = await crowd.moves() and await crowd.whole()
    normal_s = time.monotonic() - since
    lost, doubled, swapped = await crowd.count()
    return Outcome(fault, victim, crowd.acked - before, lost, doubled, swapped, normal_s, whole)


async def until(condition: Callable[[], bool], timeout_s: float) -> bool:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(timeout_s):
            while True:
                if condition():
                    return True
                await asyncio.sleep(POLL_S)
    return False
