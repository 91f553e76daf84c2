"""People and an application's server that send and change all the time, and what was acknowledged to them."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, NamedTuple

import httpx
from qianwan import Ack, Client, Options
from qianwan.errors import QianwanError
from qianwan.models import conversation_of

from tests.support.chat_world import EAGER, root_of, tokens_for
from tests.support.event_copy.truth import Truth, unheard
from tests.support.server_process import ServerProcess

GROUP, ROOM = "crew", "hall"
HOLD_WORD = "qwheld"
LIST = {"action": "hold", "category": "test", "words": [HOLD_WORD]}
AT_ONCE = 3
"""Things that one of the people does at a time."""
AGAIN_S = 0.05
SERVERS = 3
"""Of the application, beside one another."""


class Sent(NamedTuple):
    talk: str
    seq: int
    server_id: int


class Book:
    """What was acknowledged. Nobody stops before so much is, and all faults are over."""

    def __init__(self, total: int) -> None:
        self.total = total
        self.sent: dict[str, Sent] = {}
        self.kept_out: set[int] = set()
        self.held: set[int] = set()
        self.passed: set[tuple[str, int]] = set()
        self.changes: list[tuple[str, bytes]] = []
        self.refused = 0
        self.struck = False
        self._moved = asyncio.Event()
        self._numbers = 0

    @property
    def acked(self) -> int:
        return len(self.sent) + len(self.changes)

    @property
    def done(self) -> bool:
        return self.struck and self.acked >= self.total

    def number(self) -> int:
        self._numbers += 1
        return self._numbers

    def note(self) -> None:
        self._moved.set()

    def changed(self, subject: str, word: str | bytes) -> None:
        self.changes.append((subject, word.encode() if isinstance(word, str) else word))
        self.note()

    async def until(self, count: int) -> None:
        while self.acked < count:
            self._moved.clear()
            await self._moved.wait()

    def judge(self, truth: Truth) -> list[str]:
        """What was acknowledged was committed, as it was acknowledged, and hidden where it should be."""
        found = []
        for client_id, sent in self.sent.items():
            key = str(sent.server_id)
            fact = truth.facts.get(key)
            if sent.server_id in self.kept_out or (sent.server_id in self.held and fact is None):
                if key not in truth.hidden:
                    found.append(f"{client_id} was to be kept, and hidden")
            elif fact is None or (fact.subject, fact.seq) != (sent.talk, sent.seq):
                found.append(f"{client_id}: acknowledged as {sent}, committed as {fact}")
        shown = {(fact.subject, fact.seq) for fact in truth.facts.values()}
        found += [f"{each} was released and is hidden" for each in self.passed - shown]
        return found + unheard(truth.facts, self.changes)


class Hand:
    """One of the people, on one device."""

    def __init__(
        self, server: ServerProcess, root: str, user: str, token: str, book: Book, seed: str
    ) -> None:
        self.user, self.book, self.rng = user, book, random.Random(seed)
        self._server, self._root, self._token = server, root, token
        self.client = self._client("python")
        self.others: list[str] = []
        self.owns_group = False
        self._mine: list[Sent] = []
        often: list[tuple[int, Callable[[int], Awaitable[None]]]] = [
            (60, self.say), (12, self.say_to_all), (4, self.say_online), (4, self.say_held),
            (2, self.say_aside), (4, self.recall), (6, self.relate), (2, self.befriend), (3, self.invite),
            (3, self.react), (1, self.come_again), (2, self.profile),
        ]  # fmt: skip
        self._moves = [move for times, move in often for _ in range(times)]

    def _client(self, device: str) -> Client:
        host, port = self._server.gateway
        return Client(
            f"{host}:{port}", token=self._token, root_key=self._root, device_id=device, backoff=EAGER,
            login_timeout_s=60.0, call_timeout_s=30.0,
        )  # fmt: skip

    async def live(self) -> None:
        async with asyncio.TaskGroup() as group:
            for _ in range(AT_ONCE):
                group.create_task(self._act())

    async def _act(self) -> None:
        while not self.book.done:
            try:
                await self.rng.choice(self._moves)(self.book.number())
            except QianwanError:  # refused, or nobody knows what came of it
                self.book.refused += 1
                await asyncio.sleep(AGAIN_S)

    async def _send(self, target: str, number: int, word: str = "", options: Options | None = None) -> Ack:
        name = f"{self.user}-{number}"
        ack = await self.client.send_to(target, f"{name} {word}", client_id=name, options=options)
        sent = Sent(conversation_of(self.user, target), ack.seq, ack.server_id)
        self.book.sent[name] = sent
        self.book.note()
        if not word and ack.seq:
            self._mine = [*self._mine[-20:], sent]
        return ack

    def _other(self) -> str:
        return "u/" + self.rng.choice(self.others)

    async def say(self, number: int) -> None:
        await self._send(self._other(), number)

    async def say_to_all(self, number: int) -> None:
        await self._send("g/" + GROUP, number)

    async def say_online(self, number: int) -> None:
        await self._send(self._other(), number, "online", Options(onlineOnly=True))

    async def say_held(self, number: int) -> None:
        self.book.held.add((await self._send(self._other(), number, HOLD_WORD)).server_id)

    async def say_aside(self, number: int) -> None:
        ack = await self._send(self._other(), number, "aside", Options(route=False))
        self.book.kept_out.add(ack.server_id)

    async def recall(self, number: int) -> None:
        if self._mine:
            sent = self._mine.pop(self.rng.randrange(len(self._mine)))
            await self.client.recall(sent.talk, sent.seq)
            self.book.changed(sent.talk, sent.server_id.to_bytes(8, "big"))

    async def relate(self, number: int) -> None:
        other = f"x{number}x"
        await self.client.call(self.rng.choice(["relation.black", "relation.mute"]), {"user": other})
        self.book.changed("u/" + self.user, other)

    async def befriend(self, number: int) -> None:
        other = f"f{number}f"
        await self.client.call("friend.add", {"user": other})
        self.book.changed("u/" + self.user, other)

    async def invite(self, number: int) -> None:
        guest = f"i{number}i"
        await self.client.call("group.invite", {"group": GROUP, "users": [guest]})
        self.book.changed("g/" + GROUP, guest)
        if self.owns_group:  # so that it does not fill
            await self.client.call("group.kick", {"group": GROUP, "users": [guest]})
            self.book.changed("g/" + GROUP, guest)

    async def react(self, number: int) -> None:
        if self._mine:
            sent = self.rng.choice(self._mine)
            await self.client.react(sent.talk, sent.seq, f"k{number}k")
            self.book.changed(sent.talk, f"k{number}k")

    async def come_again(self, number: int) -> None:
        device = f"d{number % 4}"
        async with self._client(device):
            self.book.changed("u/" + self.user, device)

    async def profile(self, number: int) -> None:
        await self.client.call("profile.set", {"nick": f"n{number}n"})
        self.book.changed("u/" + self.user, f"n{number}n")


class AppServer:
    """Says things in a room that keeps nothing, and decides about what is held."""

    def __init__(self, url: str, key: str, book: Book, seed: str) -> None:
        self.book, self.rng = book, random.Random(seed)
        self._http = httpx.AsyncClient(base_url=f"{url}/v1", headers={"X-API-Key": key}, timeout=60)

    async def live(self) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(self._act(self.decide))
            for _ in range(SERVERS):
                group.create_task(self._act(self.say))

    async def _act(self, move: Callable[[], Awaitable[None]]) -> None:
        while not self.book.done:
            try:
                await move()
            except httpx.HTTPError:
                self.book.refused += 1
            await asyncio.sleep(AGAIN_S)

    async def _ask(self, method: str, path: str, **given: Any) -> dict[str, Any]:
        return dict((await self._http.request(method, path, **given)).raise_for_status().json())

    async def say(self) -> None:
        name = f"app-{self.book.number()}"
        body = {"sender": "app", "target": f"r/{ROOM}", "body": {"text": name}, "client_id": name}
        answer = await self._ask("POST", "/messages", json=body)
        self.book.sent[name] = Sent(f"r/{ROOM}", answer["seq"], answer["server_id"])
        self.book.note()

    async def decide(self) -> None:
        """About half of what waits now."""
        page = await self._ask("GET", "/moderation/queue", params={"limit": 50})
        for item in page["items"]:
            verdict = self.rng.choice(["pass", "reject"])
            await self._ask("POST", f"/moderation/queue/{item['id']}", json={"verdict": verdict, "by": "mia"})
            if verdict == "pass":
                self.book.passed.add((item["conversation"], item["seq"]))
            self.book.changed(item["conversation"], f'"review":{item["id"]},')

    async def close(self) -> None:
        await self._http.aclose()


async def people(
    server: ServerProcess, key_of: ServerProcess, users: Sequence[str], book: Book, seed: int
) -> list[Hand]:
    """At a gateway; `key_of` answers the HTTP API."""
    root = await asyncio.to_thread(root_of, key_of)
    tokens = await asyncio.to_thread(tokens_for, key_of, users)
    hands = [
        Hand(server, root, user, token, book, f"{seed} {user}")
        for user, token in zip(users, tokens, strict=True)
    ]
    hands[0].owns_group = True
    for hand in hands:
        hand.others = [user for user in users if user != hand.user]
    return hands
