"""One run: people send and change, processes are killed, and what each consumer had is held against the
store.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import msgspec

from tests.support.event_copy.load import GROUP, AppServer, Book, people
from tests.support.event_copy.places import Consumer, Had
from tests.support.event_copy.truth import Truth, judge
from tests.support.event_copy.world import PATIENCE_S, World, world_of

PAUSE_S = 1.5
"""Before a killed process is started again, at most."""


class Size(NamedTuple):
    """At least `total` acknowledged messages and changes of so many people. `kills` of each process; `stops`,
    `drains`: of im processes, where there are two."""

    total: int
    people: int
    kills: int
    ims: int = 0
    stops: int = 0
    drains: int = 0
    kafka: bool = False


class Consumed(msgspec.Struct):
    had: int
    lost: int
    uncommitted: int
    swapped: int
    wrong: int
    repeats: int


class Outcome(msgspec.Struct):
    """`behind_s`: from the last acknowledgement until every consumer had everything."""

    store: str
    seed: int
    messages: int
    changes: int
    committed: int
    hidden: int
    faults: Mapping[str, int]
    took_s: float
    behind_s: float
    consumers: dict[str, Consumed]
    complaints: list[str]


async def run(folder: Path, dsn: str, size: Size, seed: int) -> Outcome:
    rng = random.Random(seed)
    async with world_of(folder, dsn, size.ims, size.kafka) as world:
        began = time.monotonic()
        book = Book(size.total)
        faults = await _lived(world, book, size, rng, seed)
        ended = time.monotonic()
        found = await _consumed(world)
        truth = found.after
        outcome = Outcome(
            store="postgres" if dsn else "sqlite", seed=seed, messages=len(book.sent),
            changes=len(book.changes), committed=len(truth.facts), hidden=len(truth.hidden), faults=faults,
            took_s=round(ended - began, 1), behind_s=round(time.monotonic() - ended, 1), consumers={},
            complaints=book.judge(truth)[:20],
        )  # fmt: skip
        for name, had in found.had.items():
            judgement = judge(had.events, found.before, truth)
            outcome.consumers[name] = Consumed(
                had=len(had.events), lost=len(judgement.lost), uncommitted=len(judgement.uncommitted),
                swapped=len(judgement.swapped), wrong=len(judgement.wrong), repeats=had.repeats,
            )  # fmt: skip
            outcome.complaints += [f"{name}: {each}" for each in judgement.shown()]
        return outcome


async def _lived(world: World, book: Book, size: Size, rng: random.Random, seed: int) -> Counter[str]:
    users = [f"user{number:02}" for number in range(size.people)]
    crew = {"group": GROUP, "owner": users[0], "members": users[1:], "invite": "all"}
    await world.http("POST", "/v1/groups", crew)
    hands = await people(world.gateway, world.control, users, book, seed)
    app = AppServer(world.control.url, world.control.first_api_key(), book, f"{seed} app")
    await asyncio.gather(*(hand.client.open() for hand in hands))
    try:
        async with asyncio.TaskGroup() as group:
            struck = group.create_task(_struck(world, book, size, rng))
            group.create_task(app.live())
            for hand in hands:
                group.create_task(hand.live())
        while (await world.http("GET", "/v1/moderation/queue"))["items"]:
            await app.decide()
    finally:
        await asyncio.gather(*(hand.client.close(handled=False) for hand in hands))
        await app.close()
    return struck.result()


async def _struck(world: World, book: Book, size: Size, rng: random.Random) -> Counter[str]:
    """One fault after the other, in any order, at random counts of acknowledgements."""
    acts = [("killed", name) for name in world.victims() for _ in range(size.kills)]
    acts += [("stopped", "")] * size.stops + [("drained", "")] * size.drains
    rng.shuffle(acts)
    counts = sorted(rng.sample(range(size.total // 20, size.total * 9 // 10), len(acts)))
    done: Counter[str] = Counter()
    for count, (act, name) in zip(counts, acts, strict=True):
        await book.until(count)
        if act == "killed":
            await asyncio.to_thread(world.victims()[name], rng.uniform(0, PAUSE_S))
        elif act == "stopped":
            await asyncio.to_thread(world.stand_still, rng.choice(world.ims))
        else:
            await asyncio.to_thread(world.drain, rng.choice(world.ims))
        done[f"{name} {act}".strip()] += 1
    book.struck = True
    return done


class _Found(NamedTuple):
    before: Truth
    had: dict[str, Had]
    after: Truth


async def _consumed(world: World) -> _Found:
    """What everybody has when they have all of what is committed now."""
    await world.drained()
    before = await world.truth()
    had = {each.name: await _complete(each, before) for each in world.consumers}
    return _Found(before, had, await world.truth())


async def _complete(consumer: Consumer, truth: Truth) -> Had:
    """All that it has, when it has everything or does not get it."""
    deadline = time.monotonic() + PATIENCE_S / 10
    while True:
        had = await consumer.had()
        lacks = truth.facts.keys() - {event["event_id"] for event in had.events}
        if not lacks or time.monotonic() > deadline:
            return had
        await asyncio.sleep(0.2)
