"""Users in a ring who send to one another all the time: what each was acknowledged, what each heard, and what
that cost them.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import time
from collections.abc import Sequence
from itertools import pairwise

import msgspec
import qianwan

from frame.constants import USER_PREFIX
from program.access import Access
from program.cluster.local import LocalCluster
from program.cluster.people import Person, until

ROOM = "faults"
NORMAL_S = 180.0
SETTLE_S = 120.0
OPEN_AT_ONCE = 20
PROBE_S = 0.5
EAGER = qianwan.Backoff(base_s=0.1, cap_s=2.0, settled_s=1.0)


class Sender(Person):
    """Sends to the next one, hears the one before, the group and the room."""

    def __init__(self, name: str, urls: Sequence[str], token: str) -> None:
        super().__init__(name, urls, token, ROOM, backoff=EAGER)
        self.acked: dict[str, int] = {}
        self.sent_at: dict[str, float] = {}
        self.heard: list[tuple[str, float]] = []
        self.known: set[str] = set()
        self.probes: set[str] = set()
        self.errors = 0
        self._number = 0

    async def send_to(self, other: str, pace_s: float, stop: asyncio.Event) -> None:
        """One after the other: each is acknowledged before the next is sent, so that their order is known."""
        while not stop.is_set():
            self._number += 1
            text = f"{self.name} {self._number}"
            self.sent_at[text] = time.monotonic()
            try:
                self.acked[text] = (await self.client.send(other, text)).seq
            except qianwan.RequestError:  # a refusal, or an outcome that nobody knows, is no acknowledgement
                self.errors += 1
            await asyncio.sleep(pace_s)

    def hear(self, message: qianwan.Message) -> None:
        if message.text.startswith("probe "):
            self.probes.add(message.text)
        elif message.text.startswith(f"{message.sender} "):
            self.heard.append((message.text, time.monotonic()))
            self.known.add(message.text)

    def hear_in_room(self, message: qianwan.Message) -> None:
        self.probes.add(message.text)


class Tally(msgspec.Struct, frozen=True):
    """Of all senders so far. `cuts` and `logins`: of each; `slowest_s`: from `send` to the partner."""

    acked: int
    lost: int
    doubled: int
    swapped: int
    errors: int
    cuts: list[int]
    logins: list[int]
    slowest_s: float


class Crowd:
    """Senders in a ring, one group of all, one room of all."""

    def __init__(self, cluster: LocalCluster, size: int, pace_s: float) -> None:
        self._cluster = cluster
        self._size = size
        self._pace_s = pace_s
        self.senders: list[Sender] = []
        self._stop = asyncio.Event()
        self._sending: list[asyncio.Task[None]] = []

    async def come(self) -> None:
        names = [f"u{secrets.token_hex(3)}-{number}" for number in range(self._size)]
        access = self._access()
        await asyncio.to_thread(access.room, ROOM)
        tokens = [await asyncio.to_thread(access.token, name) for name in names]
        lbs = self._cluster.plan.lbs
        self.senders = [Sender(name, lbs, token) for name, token in zip(names, tokens, strict=True)]
        slots = asyncio.Semaphore(OPEN_AT_ONCE)

        async def one(sender: Sender) -> None:
            async with slots:
                await sender.come()

        await asyncio.gather(*map(one, self.senders))
        self.group = await asyncio.to_thread(access.group, names[0], names[1:])
        self._sending = [
            asyncio.create_task(sender.send_to(other, self._pace_s, self._stop), name=sender.name)
            for sender, other in zip(self.senders, [*names[1:], names[0]], strict=True)
        ]

    async def go(self) -> None:
        self._stop.set()
        for task in self._sending:
            task.cancel()
        await asyncio.gather(*self._sending, return_exceptions=True)
        await asyncio.gather(*(sender.go() for sender in self.senders))

    async def guest(self) -> Sender:
        """One more, who comes now: a token, a gateway, a login, all of it new."""
        name = f"guest-{secrets.token_hex(4)}"
        guest = Sender(name, self._cluster.plan.lbs, await asyncio.to_thread(self._access().token, name))
        await guest.come()
        return guest

    async def greet(self, guest: Sender) -> str:
        """A message through the HTTP API. -> its text"""
        sender = self.senders[0].name
        text = f"{sender} greets"
        await asyncio.to_thread(self._access().say, sender, USER_PREFIX + guest.name, text)
        return text

    def _access(self) -> Access:
        return Access(self._cluster.plan.lbs[0], self._cluster.api_key())

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
            if await until(lambda: all({in_group, in_room} <= each.probes for each in others), PROBE_S):
                return True
        return False

    async def count(self, since: float) -> Tally:
        """Of all that was acknowledged so far; the slowest of those sent `since`."""
        pairs = list(zip(self.senders, [*self.senders[1:], self.senders[0]], strict=True))
        due = [(set(sender.acked) - receiver.known, receiver) for sender, receiver in pairs]
        acked = self.acked
        await until(lambda: all(texts <= receiver.known for texts, receiver in due), SETTLE_S)
        doubled = swapped = 0
        slowest_s = 0.0
        lost = sum(len(texts - receiver.known) for texts, receiver in due)
        for sender, receiver in pairs:
            doubled += len(receiver.heard) - len(receiver.known)
            numbers = [int(text.rpartition(" ")[2]) for text, _ in receiver.heard]
            swapped += sum(late < early for early, late in pairwise(numbers))
            sent_at = sender.sent_at
            took = (at - sent_at[text] for text, at in receiver.heard if sent_at[text] >= since)
            slowest_s = max(slowest_s, *took, 0.0)
        return Tally(
            acked=acked,
            lost=lost,
            doubled=doubled,
            swapped=swapped,
            errors=sum(sender.errors for sender in self.senders),
            cuts=[sender.cut for sender in self.senders],
            logins=[sender.logins for sender in self.senders],
            slowest_s=slowest_s,
        )
