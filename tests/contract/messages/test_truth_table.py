"""docs/MESSAGES.md, cell by cell: each row is one message, each of its cells one test, on a real SQLite
store.

A row is played once: people, devices and a group or room are set up, the message is sent, and every view
is looked at. `receiver` is bob (the phone is live, the pad known and away, a new tablet comes later) and,
for push, carl, who is away: what is pushed is what APNs gets over HTTP/2, what is copied is what a receiver
of webhooks has and what lies in a stream of NATS. `sender` is alice's other devices.
`other` is dora (eve for push). `newcomer` is nina.
"""

from __future__ import annotations

import asyncio
import json
import re
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from functools import cache
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

import pytest

from control.push.lane import Bounds
from control.push.pushes import Pushes
from im_service.options import Options
from im_service.ports import SystemClock
from im_service.sending.hooks import Action, Verdict
from im_service.settings import EventCopy, ImSettings
from tests.support.event_copy.sinks import by_stream, by_webhook
from tests.support.im_ports import ScriptedHook
from tests.support.im_world import Person, World, on_postgres, open_world
from tests.support.nats_process import NatsProcess
from tests.support.postgres_server import PostgresServer
from tests.support.push_vendor import PushVendor
from tests.support.pushes import apns_at, client_to

PAGE = Path(__file__).resolve().parents[3] / "docs" / "MESSAGES.md"
COLUMNS = ("live", "offline", "roaming", "history", "unread", "push", "copy")
WATCHED = {"receiver": "bob", "sender": "alice", "other": "dora", "newcomer": "nina"}
AWAY = {"receiver": "carl", "sender": "alice", "other": "eve", "newcomer": "nina"}
MARK = "the message"


class Row(NamedTuple):
    kind: str
    options: str
    state: str
    side: str
    cells: tuple[str, ...]


def read_table() -> list[Row]:
    text = PAGE.read_text().partition("<!-- table -->")[2].partition("<!-- /table -->")[0]
    rows = []
    for line in text.strip().splitlines()[2:]:
        cells = [cell.strip() for cell in re.split(r"(?<!\\)\|", line.strip().strip("|"))]
        rows.append(Row(cells[0], cells[1].strip("`"), cells[2], cells[3], tuple(cells[4:])))
    return rows


ROWS = read_table()


def shown(messages: list[list[Any]]) -> bool:
    return any(m[7] == {"text": MARK} for m in messages)


STREAMS: list[NatsProcess] = []


@pytest.fixture(scope="module", autouse=True)
def streams(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """One server for every play."""
    with NatsProcess(tmp_path_factory.mktemp("streams"), streams=True) as server:
        STREAMS.append(server)
        yield


@cache
def observe(kind: str, options: str, state: str) -> dict[tuple[str, str], bool]:
    """(side, column) -> what was seen."""
    with tempfile.TemporaryDirectory() as folder:
        return asyncio.run(play(Path(folder), kind, None if options == "-" else json.loads(options), state))


async def play(
    path: Path, kind: str, options: dict[str, Any] | None, state: str
) -> dict[tuple[str, str], bool]:
    """One message in a new world in `path`, looked at from every side."""
    async with vendor_of_push(path) as (vendor, push):
        return await watched(path, kind, options, state, vendor, push)


async def watched(
    path: Path, kind: str, options: dict[str, Any] | None, state: str, vendor: PushVendor, push: Pushes
) -> dict[tuple[str, str], bool]:
    settings = ImSettings(blacklist_answer=0, copy=EventCopy(record=("unkept",)))
    hook = ScriptedHook(lambda draft: Verdict(Action.HOLD)) if state in JUDGED else None
    async with open_world(path, settings, push=push, callback=hook) as world:
        people = {name: await world.login(name) for name in ("alice", "bob", "carl", "dora", "eve", "nina")}
        for name in ("alice", "carl", "eve"):
            await people[name].pushed_to()
        desk = await world.login("alice", "desk", 4)
        for name in ("alice", "bob", "dora", "nina"):
            await (await world.login(name, "pad", 2)).logout()
        target, conversation = await stage(world, people, kind, state)
        for name in ("carl", "eve"):
            await people[name].logout()
        world.clock.advance(1000)
        code, ack = await people["alice"].send(target, MARK, options=options)
        assert code == 0, ack
        to_carl = options
        if kind == "single":
            code, _ = await people["alice"].send("u/carl", MARK, options=to_carl)
            assert code == 0
        if verdict := JUDGED.get(state):
            await decided(world, verdict)
        await world.settle()
        await push.drained()
        assert push.waiting == 0
        seen = {("receiver", "live"): heard(people["bob"]), ("sender", "live"): heard(desk)}
        seen |= {("other", "live"): heard(people["dora"]), ("newcomer", "live"): heard(people["nina"])}
        copied = holds(await by_webhook(world))
        assert holds(await by_stream(world, STREAMS[-1])) is copied
        for side, name in AWAY.items():
            told = [a.body.decode() for a in vendor.asked if a.path == f"/3/device/{name}phone"]
            seen[side, "push"] = any(MARK in body or "look" in body for body in told)
            seen[side, "copy"] = copied
        if kind == "group":
            await world.invoke("group.invite", {"group": "team", "users": ["nina"]})
        if state == "expired":
            world.clock.advance(3_600_000)
        if state in CHANGES:
            assert await told_of_change(world, people, conversation, ack, state) is copied
        world.clock.advance(1000)
        for side, name in WATCHED.items():
            person = people[name]
            seen[side, "unread"] = conversation in await world.unread(name)
            code, page = await person.call("history", conversation=conversation, limit=100)
            seen[side, "history"] = code == 0 and shown(page["messages"])
            known, new = await world.login(name, "pad", 2), await world.login(name, "tablet", 1)
            seen[side, "offline"] = shown((await known.catch_up()).get(conversation, []))
            seen[side, "roaming"] = shown((await new.catch_up()).get(conversation, []))
        return seen


def holds(events: list[dict[str, Any]]) -> bool:
    return any(MARK in str(event["data"]) for event in events)


CHANGES = {"recalled": "message.recall", "edited": "message.edit", "deleted": "message.delete"}
"""States of messages that something happens to later, and how the copy tells of it."""


async def told_of_change(
    world: World, people: dict[str, Person], conversation: str, ack: list[int], state: str
) -> bool:
    """Whether whoever is copied the message hears what became of it: its event and that of the change name
    the same `env`."""
    server_id, seq = str(ack[0]), ack[1]
    if state == "recalled":
        await people["alice"].ok("recall", conversation=conversation, seq=seq)
    elif state == "edited":
        await people["alice"].ok("edit", conversation=conversation, seq=seq, body={"text": MARK}, ext="more")
    else:
        await people["bob"].ok("delete", conversation=conversation, seqs=[seq])
    since = [event for event in await by_webhook(world) if event["subject"] == conversation]
    said = [event.get("env") for event in since if event["kind"] == CHANGES[state]]
    assert said == [event.env for event in await world.copies() if event.event_id == server_id]
    return bool(said)


JUDGED = {"held": "", "released": "pass", "refused": "reject"}
"""States of messages that a hook holds, and what somebody decides."""


async def decided(world: World, verdict: str) -> None:
    for item in (await world.invoke("moderation.queue", {}))["items"]:
        await world.invoke("moderation.decide", {"id": item["id"], "verdict": verdict, "by": "mia"})


@asynccontextmanager
async def vendor_of_push(path: Path) -> AsyncIterator[tuple[PushVendor, Pushes]]:
    """APNs as it is asked, and who asks it."""
    async with PushVendor(path) as vendor:
        clock, client = SystemClock(), client_to(vendor)
        pushes = Pushes([apns_at(vendor, client, clock)], [client], clock, print, Bounds(), Random(1))
        yield vendor, pushes
        await pushes.stop(1)


async def stage(world: World, people: dict[str, Person], kind: str, state: str) -> tuple[str, str]:
    """Make the place of the message. -> (target, conversation)"""
    if kind == "group":
        members = ["bob", "carl", "dora", "eve"]
        await people["alice"].forced("group.create", group="team", members=members)
        if state == "muted":
            await people["carl"].ok("conversation.set", conversation="g/team", mute=True)
        for name in ("alice", *members):
            seqs = {"g/team": 1}
            await people[name].ok("ack", acks=seqs)
        return "g/team", "g/team"
    if kind == "room":
        await people["alice"].forced("room.create", room="hall", history=True)
        for person in [people[name] for name in ("alice", "bob", "carl")]:
            await person.ok("room.join", room="hall", tags=["red"])
        return "r/hall", "r/hall"
    for name in ("bob", "carl"):
        if state == "friends":
            await people["alice"].forced("friend.add", user=name)
        if state == "blacklisted":
            await people[name].ok("relation.black", user="alice")
        if state == "muted":
            await people[name].ok("relation.mute", user="alice")
    return "u/bob", "s/alice:bob"


def heard(person: Person) -> bool:
    return shown(person.connection.messages) or shown(person.connection.room_messages())


CELLS = [
    pytest.param(row, column, id=f"{row.kind}-{row.options}-{row.state}-{row.side}-{column}")
    for row in ROWS
    for column in COLUMNS
]


@pytest.mark.parametrize(("row", "column"), CELLS)
def test_the_cell_says_what_happens(row: Row, column: str) -> None:
    expected = row.cells[COLUMNS.index(column)]
    assert expected in ("yes", "no")
    seen = observe(row.kind, row.options, row.state)
    side = "receiver" if row.kind == "room" and row.side == "sender" and column == "live" else row.side
    assert seen[side, column] is (expected == "yes")


# PostgreSQL evaluates the same rules on other rows: every state, and every option that a store itself obeys.
STORE_OBEYS = {
    "history", "roam", "persistent", "sendersync", "badge", "target", "expire", "senderNoSense",
    "receiverNoSense", "onlineOnly", "skipHistory",
}  # fmt: skip
KEPT = [row for row in ROWS if row.options == "-" or STORE_OBEYS & json.loads(row.options).keys()]
PLAYS = sorted({(row.kind, row.options, row.state) for row in KEPT})


@pytest.mark.parametrize(("kind", "options", "state"), PLAYS)
async def test_the_row_is_the_same_on_postgresql(
    tmp_path: Path, postgres_server: PostgresServer, kind: str, options: str, state: str
) -> None:
    await on_postgres(tmp_path, postgres_server)
    seen = await play(tmp_path, kind, None if options == "-" else json.loads(options), state)
    for row in KEPT:
        if row[:3] != (kind, options, state):
            continue
        for column, expected in zip(COLUMNS, row.cells, strict=True):
            side = "receiver" if kind == "room" and row.side == "sender" and column == "live" else row.side
            assert seen[side, column] is (expected == "yes"), (row.side, column)


def test_every_option_has_a_row_and_a_line() -> None:
    named = {name for row in ROWS if row.options != "-" for name in json.loads(row.options)}
    page = PAGE.read_text()
    for name in Options.__struct_fields__:
        assert name in named or name in ("payload",), f"{name} has no row"
        assert f"`{name}`" in page


def test_no_row_stands_twice() -> None:
    keys = [row[:4] for row in ROWS]
    assert len(keys) == len(set(keys))
