"""What clients were told, and what must be true of it; a judgement is a list of complaints, hopefully empty.

A message of talker t has the client id `<t>-<number>`, number counting from 1 in the order t sent them; its
text begins with that client id, so a body under the wrong id is noticed too.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

from qianwan import Ack, Message

MAX_COMPLAINTS = 20


class Row(NamedTuple):
    """One stored message."""

    seq: int
    server_id: int
    sender: str
    client_id: str


Log = Mapping[str, Sequence[Row]]
"""conversation -> its messages in order of seq"""


def read_store(data_dir: Path) -> dict[str, list[Row]]:
    """Every stored message, read from the file itself with the standard library, after SQLite's own check."""
    conn = sqlite3.connect(f"file:{data_dir}/store.sqlite3?mode=ro", uri=True)
    try:
        verdict = conn.execute("PRAGMA integrity_check").fetchall()
        if verdict != [("ok",)]:
            raise AssertionError(f"the store is damaged: {verdict[:3]}")
        log: dict[str, list[Row]] = defaultdict(list)
        for name, *rest in conn.execute(
            "SELECT c.name, m.seq, m.server_id, a.name, m.client_id FROM message m"
            " JOIN conversation c ON c.id = m.conv JOIN account a ON a.id = m.sender ORDER BY c.name, m.seq"
        ):
            log[name].append(Row(*rest))
        return dict(log)
    finally:
        conn.close()


def row_of(message: Message) -> Row:
    return Row(message.seq, message.server_id, message.sender, message.client_id)


class Ledger:
    """Acks and arrivals of all talkers, as their applications saw them."""

    def __init__(self) -> None:
        self.acks: dict[tuple[str, str], tuple[str, Ack]] = {}
        self.own: dict[str, set[str]] = defaultdict(set)
        """client ids a listener sent itself: the SDK does not show them to it again"""
        self.seen: dict[str, dict[str, list[Row]]] = defaultdict(lambda: defaultdict(list))
        self._shown: Counter[str] = Counter()
        self.wrong_bodies: list[str] = []
        self._moved = asyncio.Event()

    def acked(self, sender: str, client_id: str, conversation: str, ack: Ack) -> None:
        self.acks[sender, client_id] = (conversation, ack)
        self._moved.set()

    def saw(self, listener: str, message: Message) -> None:
        """`listener` names one device; what it was shown is kept in that order."""
        self.seen[listener][message.conversation].append(row_of(message))
        self._shown[listener] += 1
        if message.type == 0 and message.body["text"].split(" ")[0] != message.client_id:
            self.wrong_bodies.append(f"{message.client_id} came with {message.body}")
        self._moved.set()

    async def until_acked(self, count: int) -> None:
        """Return when so many messages have been acknowledged."""
        while len(self.acks) < count:
            self._moved.clear()
            await self._moved.wait()

    async def until_seen(self, wanted: Mapping[str, int], timeout_s: float) -> None:
        """Return when every listener has seen so many messages, or when the time is over: judges tell why."""

        waiting = set(wanted)
        try:
            async with asyncio.timeout(timeout_s):
                while waiting := {name for name in waiting if self._shown[name] < wanted[name]}:
                    self._moved.clear()
                    await self._moved.wait()
        except TimeoutError:
            pass

    # judgements

    def judge_acks(self, log: Log) -> list[str]:
        """Acked means stored, exactly once, under the acked number."""
        found: dict[tuple[str, str], list[tuple[str, Row]]] = defaultdict(list)
        for conversation, rows in log.items():
            for row in rows:
                found[row.sender, row.client_id].append((conversation, row))
        complaints = [f"stored {len(rows)} times: {key}" for key, rows in found.items() if len(rows) > 1]
        for key, (conversation, ack) in self.acks.items():
            wanted = (conversation, Row(ack.seq, ack.server_id, *key))
            if found[key] != [wanted]:
                complaints.append(f"acked as {wanted}, stored as {found[key]}")
        return complaints[:MAX_COMPLAINTS] + self.wrong_bodies[:MAX_COMPLAINTS]

    def judge_streams(self) -> list[str]:
        """No listener was shown anything twice or out of order."""
        complaints = []
        for listener, conversations in self.seen.items():
            for conversation, rows in conversations.items():
                for before, after in pairwise(rows):
                    if after.seq <= before.seq:
                        complaints.append(f"{listener} saw {after} behind {before} in {conversation}")
                repeated = Counter((row.sender, row.client_id) for row in rows)
                complaints += [f"{listener} saw {key} {n} times" for key, n in repeated.items() if n > 1]
        return complaints[:MAX_COMPLAINTS]

    def judge_arrivals(
        self, log: Log, listeners: Mapping[str, str], members: Mapping[str, set[str]]
    ) -> list[str]:
        """Every listener (name -> user) saw all of its conversations (name -> users) but its own sends."""
        complaints = []
        for conversation, users in members.items():
            for listener, user in listeners.items():
                own = self.own[listener]
                wanted = [
                    row for row in log.get(conversation, ()) if user in users and row.client_id not in own
                ]
                seen = self.seen[listener][conversation]
                if seen != wanted:
                    lost = len(set(wanted) - set(seen))
                    foreign = len(set(seen) - set(wanted))
                    complaints.append(f"{listener} lacks {lost} and has {foreign} too many in {conversation}")
        return complaints[:MAX_COMPLAINTS]


def judge_log(log: Log) -> list[str]:
    """Numbers are 1..n without a hole, each sender's messages lie in the order of their sending."""
    complaints = []
    for conversation, rows in log.items():
        if [row.seq for row in rows] != list(range(1, len(rows) + 1)):
            complaints.append(f"{conversation} is not numbered 1..{len(rows)}")
        last: dict[str, int] = defaultdict(int)
        for row in rows:
            if not row.client_id.startswith(row.sender):
                continue  # a notification of the service
            number = int(row.client_id.rpartition("-")[2])
            if number <= last[row.sender]:
                complaints.append(f"{conversation}: {row.client_id} lies behind number {last[row.sender]}")
            last[row.sender] = number
    return complaints[:MAX_COMPLAINTS]
