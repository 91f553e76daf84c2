"""A service that is led through everything that is an event of the durable copy.

python -m tests.support.every_event        writes docs/events.examples.json anew
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import get_args

import msgspec

from control.coordination.sqlite_documents import SqliteDocuments
from control.outbox.delivery import Delivery, Tally, Task
from control.outbox.desk import Desk, Question
from control.outbox.endpoints import PREFIX, Endpoint
from control.outbox.keeper import Outbox
from control.outbox.sink import Outcome, shown
from control.outbox.sink import Verdict as Given
from im_service.outbox.kinds.catalogue import KINDS
from im_service.outbox.ports import Event, EventFilter
from im_service.outbox.window import Rules
from im_service.ports import SystemClock
from im_service.sending.hooks import Action, Draft, Verdict
from im_service.settings import EventCopy, ImSettings, Recorded
from tests.support.im_ports import ScriptedHook
from tests.support.im_world import Person, World, open_world, until
from tests.support.tree import ROOT

EVERYTHING = ImSettings(rooms_by_clients=True, copy=EventCopy(record=get_args(Recorded)))


def opinion(draft: Draft) -> Verdict:
    return Verdict(Action.HOLD, rule="engine") if b"dubious" in draft.body else Verdict()


async def logged_events(path: Path) -> list[Event]:
    """The copy of a service in which everything happened once."""
    async with open_world(path, EVERYTHING, callback=ScriptedHook(opinion)) as world:
        alice, bob = await world.login("alice"), await world.login("bob")
        await _accounts(world, alice, bob)
        await _messages(world, alice, bob)
        await _verdicts(world, alice)
        await _groups(world, alice, bob)
        await _rooms(world, alice, bob)
        begun = await world.invoke("broadcast", {"body": {"text": "maintenance"}, "platforms": [1]})
        await world.invoke("broadcast.end", {"id": begun["id"]})
        await bob.logout()
        return await world.copies()


async def _accounts(world: World, alice: Person, bob: Person) -> None:
    await alice.ok("profile.set", nick="Al")
    await alice.ok("consent.set", friend="ask", group="default")
    await world.invoke("account.create", {"user": "dave", "nick": "Dave"})
    for what in ("delete", "restore", "erase"):
        await world.invoke(f"account.{what}", {"user": "dave"})
    await until(lambda: world.im.erasing.done == 1)
    await world.invoke("account.mute", {"user": "carol", "single_s": 60})
    await world.invoke("account.shadow", {"user": "carol", "seconds": 60})
    await world.invoke("account.disable", {"user": "carol", "seconds": 60})
    await alice.ok("friend.request", user="bob", text="it is me")
    await bob.ok("friend.decide", id=(await bob.ok("friend.requests"))["requests"][0]["id"], accept=False)
    await world.invoke("friend.add", {"user": "bob"}, "alice")
    await alice.ok("friend.alias", user="bob", alias="Bobby")
    await alice.ok("relation.mute", user="bob", on=True)
    await alice.ok("friend.remove", user="bob")
    await alice.ok("relation.black", user="bob", on=True)
    await alice.ok("relation.black", user="bob", on=False)


async def _messages(world: World, alice: Person, bob: Person) -> None:
    talk = "s/alice:bob"
    for text in ("one", "two", "three", "four"):
        await alice.said("u/bob", text, options={"env": "staging"}, ext="of the app")
    await bob.ok("read", conversation=talk, seq=1)
    await bob.ok("react", conversation=talk, seq=1, kind="ok", on=True, ext="")
    await alice.ok("edit", conversation=talk, seq=1, body={"text": "won"})
    await alice.ok("recall", conversation=talk, seq=2, text="sorry", attach="")
    await alice.ok("recall", conversation=talk, seq=3, mode="receiver")
    await world.invoke("recall", {"conversation": talk, "seq": 4, "mode": "silent"})
    await alice.said("u/bob", "gone soon", options={"onlineOnly": True})


async def _verdicts(world: World, alice: Person) -> None:
    for verdict in ("pass", "reject"):
        await alice.said("u/bob", "dubious")
        queue = await world.invoke("moderation.queue", {})
        args = {"id": queue["items"][0]["id"], "verdict": verdict, "by": "mia", "text": "not here"}
        await world.invoke("moderation.decide", args)


async def _groups(world: World, alice: Person, bob: Person) -> None:
    await alice.ok("group.create", group="team", name="Team", join="free")
    await alice.ok("group.update", group="team", announcement="welcome")
    await bob.ok("group.join", group="team")
    await world.invoke("group.invite", {"group": "team", "users": ["carol", "dan"]})
    _, seq = await alice.said("g/team", {"text": "read this"}, options={"receipt": True})
    await alice.said("g/team", "for one", options={"target": {"ids": ["bob"]}})
    await bob.ok("receipt.report", conversation="g/team", seqs=[seq])
    await alice.ok("group.role", group="team", users=["bob"], role="manager")
    await bob.ok("group.nick", group="team", nick="B")
    await alice.ok("group.mute", group="team", user="dan", seconds=60)
    await alice.ok("group.mute_all", group="team", on=True)
    await alice.ok("group.kick", group="team", users=["dan"], text="enough")
    await alice.ok("group.kick", group="team", users=["carol"])
    await alice.ok("group.transfer", group="team", user="bob")
    await alice.ok("group.leave", group="team")
    await bob.ok("group.dismiss", group="team")


async def _rooms(world: World, alice: Person, bob: Person) -> None:
    await alice.ok("room.create", room="hall", name="Hall", history=True)
    await alice.ok("room.join", room="hall")
    await bob.ok("room.join", room="hall")
    await alice.ok("room.update", room="hall", announcement="welcome")
    await alice.ok("room.attributes", room="hall", put={"song": "1"})
    for _ in range(2):
        server_id, _ = await bob.said("r/hall", "hi all")
        await alice.ok("room.recall", room="hall", server_id=server_id, text="off topic")
    await alice.ok("room.role", room="hall", user="bob", role="manager")
    await alice.ok("room.mute", room="hall", user="bob", seconds=60)
    await alice.ok("room.mute_tag", room="hall", tag="guests", seconds=60)
    await alice.ok("room.mute_all", room="hall", on=True)
    await alice.ok("room.black", room="hall", user="bob", on=True)
    await alice.ok("room.close", room="hall")
    await alice.ok("room.create", room="square", name="Square")
    await alice.ok("room.join", room="square")
    server_id, _ = await alice.said("r/square", "kept by nobody")
    await alice.ok("room.recall", room="square", server_id=server_id)


class Taking:
    """A sink that keeps what it is given."""

    def __init__(self, taken: list[Event]) -> None:
        self._taken = taken

    async def send(self, batch: Sequence[Event], again: str) -> Outcome:
        self._taken += batch
        return Outcome(Given.DELIVERED)

    async def close(self) -> None:
        return


class Refusing:
    """A sink that takes nothing."""

    async def send(self, batch: Sequence[Event], again: str) -> Outcome:
        return Outcome(Given.REFUSED, "status: answered 400", 400)

    async def close(self) -> None:
        return


async def endpoint_events(path: Path) -> list[Event]:
    """What is told of endpoints: one is tested, events expire before it has them, it is paused; another one
    takes nothing."""
    taken: list[Event] = []
    documents = SqliteDocuments(path / "documents.sqlite3")
    await documents.start()
    async with open_world(path, EVERYTHING) as world:
        log, store, clock = world.im.events, world.store, SystemClock()

        def sink(name: str, endpoint: object) -> Taking:
            return Taking(taken)

        begin = await log.head()
        await (await world.login("alice")).logout()
        await store.expire_events(world.clock.ms + 1, 0)
        endpoint = Endpoint(url="https://shop.example/", after=begin, incarnation="a")
        await documents.put(PREFIX + "shop", msgspec.json.encode(endpoint))
        outbox = Outbox(documents, log, store, clock, sink, 1, lambda: [1], lambda end: bool, 1 << 40)
        await outbox.start()
        await outbox.started()
        await until(lambda: outbox.endpoint("shop") is not None)
        await Desk(outbox, log, store, clock, sink, 1).answer(Question(what="test", endpoint="shop"))
        await until(lambda: len(taken) >= 2)
        await (await world.login("alice")).logout()
        await _refused("bank", world)
        paused = msgspec.structs.replace(endpoint, state="paused", since=clock.now_ms() // 1000)
        await documents.put(PREFIX + "shop", msgspec.json.encode(paused))
        await until(lambda: outbox.endpoint("shop") == paused)
        for _ in range(3):
            await outbox.tick()
        said = await _said(world, 2)
        await outbox.stop(0.0)
    await documents.stop(0.0)
    return [*taken, *said]


async def _said(world: World, count: int) -> list[Event]:
    """What lies in the log of endpoints, when it is so much."""
    found: list[Event] = []
    cursor = await world.im.events.first()
    while len(found) < count:
        page = await world.im.events.read(cursor, 100, EventFilter(("endpoint.*",)))
        found += page.events
        cursor = page.next
        await world.im.events.wait(cursor, 1.0)
    return found


async def _refused(name: str, world: World) -> None:
    """An endpoint that takes nothing, until its first event is given up."""
    begin = await world.im.events.first()
    tally = Tally()
    delivery = Delivery(
        Task(name, f"endpoint.{name}", EventFilter(), 1, begin), Refusing(), world.im.events, world.store,
        SystemClock(), tally, rules=Rules(give_up_ms=0),
    )  # fmt: skip
    task = asyncio.create_task(delivery.run())
    await until(lambda: tally.letters)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


def page_of_examples(events: Sequence[Event]) -> str:
    """The first of each kind, as pull gives it."""
    first = {event.kind: event for event in reversed(events)}
    return "[\n" + ",\n".join(json.dumps(shown(first[name])) for name in KINDS) + "\n]\n"


async def _write() -> None:
    with TemporaryDirectory() as one, TemporaryDirectory() as other:
        events = [*await logged_events(Path(one)), *await endpoint_events(Path(other))]
    (ROOT / "docs/events.examples.json").write_text(page_of_examples(events))


if __name__ == "__main__":
    asyncio.run(_write())
