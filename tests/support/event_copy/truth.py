"""What was committed, read from the store's own tables, and how what a consumer had differs from it."""

from __future__ import annotations

import asyncio
import sqlite3
from collections import defaultdict
from collections.abc import Mapping, Sequence
from contextlib import closing
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import asyncpg

from im_service.options import CONTROL, ROUTE
from im_service.storage.records import HELD
from tests.support.event_copy.places import Event

MESSAGES = (
    "SELECT m.id, c.name, m.seq, m.server_id, a.name, m.client_id, m.type, m.payload, m.bits FROM message m"
    " JOIN conversation c ON c.id = m.conv JOIN account a ON a.id = m.sender"
)
EVENTS = "SELECT id, pos, server_id, kind, subject, data FROM event"
NOTIFICATION = 5
RELEASED = "@released"
"""Stands for a message at the place of its release."""
MOST = 5
"""Complaints of one kind that are shown."""

Order = tuple[int, int]


class Fact(NamedTuple):
    """`released`: where a message that was held came out, which is behind its own place."""

    subject: str
    place: Order
    kind: str
    seq: int
    client_id: str
    content: bytes
    released: Order | None = None


class Truth(NamedTuple):
    facts: dict[str, Fact]
    """event id -> what is told of it"""
    hidden: set[str]
    """ids of messages that nobody may be told of"""


async def read_truth(data_dir: Path, dsn: str) -> Truth:
    if dsn:
        conn = await asyncpg.connect(dsn)
        try:
            async with conn.transaction(isolation="repeatable_read", readonly=True):
                return _truth(await conn.fetch(MESSAGES), await conn.fetch(EVENTS))
        finally:
            await conn.close()
    return await asyncio.to_thread(_from_file, data_dir / "store.sqlite3")


def _from_file(path: Path) -> Truth:
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, isolation_level=None)) as conn:
        conn.execute("BEGIN")
        return _truth(conn.execute(MESSAGES).fetchall(), conn.execute(EVENTS).fetchall())


def _truth(messages: Sequence[Sequence[object]], events: Sequence[Sequence[object]]) -> Truth:
    facts: dict[str, Fact] = {}
    hidden: set[str] = set()
    released: dict[tuple[str, int], Order] = {}
    for row in events:
        number, pos, server_id, kind, subject, data = row
        assert isinstance(number, int)
        assert isinstance(pos, int)
        assert isinstance(data, bytes)
        if kind == RELEASED:
            released[str(subject), int(data)] = (pos, number)
        else:
            facts[str(server_id)] = Fact(str(subject), (pos, number), str(kind), 0, "", data)
    for row in messages:
        number, talk, seq, server_id, _, client_id, type_, payload, bits = row
        assert isinstance(number, int)
        assert isinstance(seq, int)
        assert isinstance(bits, int)
        assert isinstance(payload, bytes)
        notice = type_ == NOTIFICATION and client_id == f"n{server_id}"
        if bits & HELD or not (notice or bits & ROUTE):
            hidden.add(str(server_id))
            continue
        kind = (
            "" if notice or bits & CONTROL else {"g/": "message.group"}.get(str(talk)[:2], "message.single")
        )
        facts[str(server_id)] = Fact(
            str(talk), (number, 0), kind, seq, str(client_id), payload, released.get((str(talk), seq))
        )
    return Truth(facts, hidden)


class Judgement(NamedTuple):
    """Of one consumer."""

    lost: list[str]
    uncommitted: list[str]
    swapped: list[str]
    wrong: list[str]

    @property
    def clean(self) -> bool:
        return not any(self)

    def shown(self) -> list[str]:
        found = self._asdict().items()
        return [f"{name}: {what}" for name, kinds in found for what in kinds[:MOST]]


def judge(events: Sequence[Event], before: Truth, after: Truth) -> Judgement:
    """`before` was read before what the consumer had was looked at: all of it must be there; `after` behind
    it: nothing else may be."""
    got = {event["event_id"]: event for event in events}
    lost = [f"{each} {before.facts[each][:3]}" for each in before.facts.keys() - got.keys()]
    uncommitted = [
        f"{each}{' that is hidden' if each in after.hidden else ''} {got[each]}"
        for each in got.keys() - after.facts.keys()
    ]
    wrong = [
        f"{event} is {fact}"
        for each, event in got.items()
        if (fact := after.facts.get(each)) is not None and not _same(event, fact)
    ]
    by_subject: dict[str, list[Fact]] = defaultdict(list)
    for each in got:
        if (fact := after.facts.get(each)) is not None:
            by_subject[fact.subject].append(fact)
    swapped = [f"{name}: {what}" for name, facts in by_subject.items() for what in _swaps(facts)]
    return Judgement(lost, uncommitted, swapped, wrong)


def _same(event: Event, fact: Fact) -> bool:
    data = event["data"]
    return bool(
        event["subject"] == fact.subject
        and (not fact.kind or event["kind"] == fact.kind)
        and (not fact.seq or data["seq"] == fact.seq)
        and (not fact.kind or not fact.seq or "erased" in data or data["client_id"] == fact.client_id)
    )


def _swaps(facts: Sequence[Fact]) -> list[str]:
    """Places rise; one that was released lies between its own place and that of its release."""
    found = []
    steady = [fact for fact in facts if fact.released is None]
    for early, late in pairwise(steady):
        if late.place <= early.place:
            found.append(f"{late[:5]} behind {early[:5]}")
    high: Order = (0, 0)
    for fact in facts:
        if fact.released is not None and high > fact.released:
            found.append(f"{fact} came behind {high}")
        high = max(high, fact.place) if fact.released is None else high
    low: Order = (1 << 62, 0)
    for fact in reversed(facts):
        if fact.released is not None and low < fact.place:
            found.append(f"{fact} came before {low}")
        low = min(low, fact.place) if fact.released is None else low
    return found


def unheard(facts: Mapping[str, Fact], changes: Sequence[tuple[str, bytes]]) -> list[str]:
    """Of acknowledged changes (subject, a word of what was changed) those that no fact tells."""
    told: dict[str, list[bytes]] = defaultdict(list)
    for fact in facts.values():
        told[fact.subject].append(fact.content)
    whole = {subject: b"\n".join(parts) for subject, parts in told.items()}
    return [f"{subject} {word!r}" for subject, word in changes if word not in whole.get(subject, b"")]
