"""`qianwan cluster demo`: people of two gateways chat in pairs and in a room, a gateway is killed."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections import Counter
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import qianwan
import uvloop
from rich.console import Console

from program.access import Access, NoAccess
from program.cluster.local import LocalCluster, Say
from program.cluster.people import Person, until
from program.cluster.plan import ClusterError
from program.demo.tally import Row, Suite, Transport, account

ROOM = "cluster-demo"
ROOM_WORDS = 5
KILLED = "gateway-2"
SUITE: Suite = "aegis128l"
TRANSPORT: Transport = "tcp"
PEOPLE_S = 180.0
SETTLE_S = 60.0
PACE_S = 0.02
PROBE_S = 0.25


class Guest(Person):
    """One user: says numbered things to a partner and in the room, keeps what others say."""

    def __init__(self, name: str, urls: Sequence[str], token: str) -> None:
        super().__init__(name, urls, token, ROOM, suite=SUITE)
        self.heard: list[str] = []
        self.in_room: list[str] = []
        self.swapped = 0
        self.acked = 0
        self._last: dict[str, int] = {}

    async def tell(self, other: str, count: int) -> None:
        for number in range(count):
            await self.client.send(other, f"{self.name} {number}")
            self.acked += 1
            await asyncio.sleep(PACE_S)

    async def say(self, scene: str) -> None:
        for number in range(ROOM_WORDS):
            await self.room.send(f"{scene} {self.name} {number}")

    def hear(self, message: qianwan.Message) -> None:
        self.heard.append(message.text)
        self.swapped += message.seq <= self._last.get(message.conversation, 0)
        self._last[message.conversation] = message.seq

    def hear_in_room(self, message: qianwan.Message) -> None:
        if message.text:
            self.in_room.append(message.text)


def run_cluster_demo(folder: Path, users: int, messages: int, say: Say) -> bool:
    """Whether nothing was lost and nothing doubled. Raises ClusterError."""
    cluster = LocalCluster(folder, say)
    if unwell := [each.name for each in cluster.status() if not each.well]:
        raise ClusterError(f"not well: {', '.join(unwell)}: qianwan cluster up")
    began = time.monotonic()
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            rows = runner.run(_scenes(cluster, users, messages, say))
    except (NoAccess, qianwan.QianwanError, TimeoutError) as error:
        raise ClusterError(f"the demo could not go on: {str(error) or type(error).__name__}") from None
    table, clean = account(rows)
    Console().print(table)
    counted = ("acked", "delivered", "lost")
    verdict = ", ".join(f"{name} {sum(getattr(row, name) for row in rows)}" for name in counted)
    say(f"{verdict}, with {KILLED} killed meanwhile, in {time.monotonic() - began:.1f} s")
    return clean


async def _scenes(cluster: LocalCluster, users: int, messages: int, say: Say) -> list[Row]:
    access = Access(cluster.plan.lbs[0], cluster.api_key())
    # Without the budget of a room that drops what nobody can read: every message is counted.
    await asyncio.to_thread(partial(access.room, ROOM, owner="host", normal_per_s=0))
    run = secrets.token_hex(3)  # users of an earlier demo have their messages
    names = [f"person-{run}-{number}" for number in range(users)]
    tokens = [await asyncio.to_thread(access.token, name) for name in names]
    people = [Guest(name, cluster.plan.lbs, token) for name, token in zip(names, tokens, strict=True)]
    try:
        await asyncio.gather(*(each.come() for each in people))
        nodes = Counter(each.client.node for each in people)
        shared = ", ".join(f"{count} on {node}" for node, count in sorted(nodes.items()))
        say(f"{users} people are here: {shared}")
        if len(nodes) < 2:
            raise ClusterError("all came to one gateway: try again with more --users")
        rows = [await _in_room(people, "room before")]
        rows.append(await _pairs(cluster, people, messages, say))
        say("everybody is back; the room again")
        rows.append(await _in_room(people, "room after"))
    finally:
        await asyncio.gather(*(each.go() for each in people))
    await asyncio.to_thread(cluster.start, [KILLED])
    return rows


async def _pairs(cluster: LocalCluster, people: list[Guest], messages: int, say: Say) -> Row:
    """Everybody with one of the other gateway, as far as there are; in the middle the gateway goes."""
    ordered = sorted(people, key=lambda each: each.client.node)
    half = len(ordered) // 2
    partner = {}
    for left, right in zip(ordered[:half], ordered[half : 2 * half], strict=True):
        partner[left.name], partner[right.name] = right, left
    chatting = [each for each in ordered if each.name in partner]
    total = messages * len(chatting)
    async with asyncio.timeout(PEOPLE_S), asyncio.TaskGroup() as group:
        for each in chatting:
            group.create_task(each.tell(partner[each.name].name, messages))
        await until(lambda: sum(each.acked for each in chatting) >= total // 2, SETTLE_S)
        pid = cluster.processes[KILLED].pid
        await asyncio.to_thread(cluster.kill, KILLED)
        say(f"kill -9 {pid} ({KILLED}) after {sum(each.acked for each in chatting)} messages")
    row = Row("pairs", SUITE, TRANSPORT, len(chatting), sent=total)
    row.acked = sum(each.acked for each in chatting)
    wanted = {
        each.name: {f"{partner[each.name].name} {number}" for number in range(messages)} for each in chatting
    }
    await until(lambda: all(wanted[each.name] <= set(each.heard) for each in chatting), SETTLE_S)
    for each in chatting:
        _count(row, each.heard, wanted[each.name])
        row.swapped += each.swapped
    return row


async def _in_room(people: list[Guest], scene: str) -> Row:
    """Everybody says something, everybody else hears it."""
    await until(lambda: all(each.client.state is qianwan.State.ONLINE for each in people), SETTLE_S)
    await _all_inside(people)
    async with asyncio.timeout(PEOPLE_S):
        await asyncio.gather(*(each.say(scene) for each in people))
    said = {f"{scene} {each.name} {number}": each.name for each in people for number in range(ROOM_WORDS)}
    wanted = {each.name: {text for text, who in said.items() if who != each.name} for each in people}
    await until(lambda: all(wanted[each.name] <= set(each.in_room) for each in people), SETTLE_S)
    row = Row(scene, SUITE, TRANSPORT, len(people), sent=len(said), acked=len(said))
    for each in people:
        _count(row, [text for text in each.in_room if text.startswith(scene)], wanted[each.name])
    return row


async def _all_inside(people: list[Guest]) -> None:
    """A room keeps nothing for who is away, so it is counted when all are in it: each has heard a word."""
    one, *others = people
    word = f"probe {secrets.token_hex(4)}"
    async with asyncio.timeout(PEOPLE_S):
        while True:
            await one.room.send(word)
            await asyncio.sleep(PROBE_S)
            if all(word in each.in_room for each in others):
                return


def _count(row: Row, heard: Sequence[str], wanted: set[str]) -> None:
    counts = Counter(heard)
    row.expected += len(wanted)
    row.delivered += len(heard)
    row.lost += len(wanted - set(counts))
    row.doubled += sum(count - 1 for count in counts.values())
