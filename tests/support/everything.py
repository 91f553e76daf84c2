"""One user of whom everything is stored that can be: each text of theirs holds a mark."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import Any

import apsw
import asyncpg

from im_service.settings import EventCopy, ImSettings
from tests.support.im_world import Person, World

MARK = "zqxv7"
SETTINGS = ImSettings(
    rooms_by_clients=True, group_consent="free", friend_consent="free",
    copy=EventCopy(
        record=(
            "account", "broadcast", "moderation", "reaction", "receipt", "relation", "room", "session",
            "unkept",
        )
    ),
)  # fmt: skip


def mark(text: str) -> str:
    return f"{MARK} {text}"


async def live(world: World, user: str = "alice") -> tuple[Person, Person]:
    """They and bob are left logged in."""
    alice, bob = await world.login(user, f"{MARK}-phone"), await world.login("bob")
    await alice.ok("profile.set", nick=mark("nick"), sign=mark("sign"), ext=mark("ext"))
    await alice.ok("consent.set", friend="free")
    await alice.ok("push.register", vendor="apns", token=f"{MARK}token", app="a")
    await alice.ok("push.set", quiet_from=60, quiet_to=120, zone="UTC")
    await world.invoke("profile.set", {"nick": "Bob"}, "bob")
    await alice.ok("friend.add", user="bob", text=mark("let me"))
    await alice.ok("friend.alias", user="bob", alias=mark("alias"))
    await bob.ok("friend.alias", user=user, alias=mark("of them"))
    await world.invoke("friend.request", {"user": "carl", "text": mark("please")}, user)
    await world.invoke("friend.request", {"user": user, "text": mark("to them")}, "dora")
    await talks(world, alice, bob, user)
    await groups_and_rooms(world, alice, bob, user)
    return alice, bob


async def talks(world: World, alice: Person, bob: Person, user: str) -> None:
    conversation = f"s/{user}:bob"
    for n in range(6):
        await alice.said("u/bob", mark(f"said {n}"), ext=mark("ext"), client_id=f"{MARK}-{n}")
        await bob.said(f"u/{user}", f"answer {n}")
    await alice.ok("edit", conversation=conversation, seq=1, body={"text": mark("better")})
    await alice.ok("recall", conversation=conversation, seq=3, text=mark("a slip"), attach=mark("more"))
    await alice.ok("react", conversation=conversation, seq=2, kind="ok", ext=mark("yes"))
    await bob.ok("react", conversation=conversation, seq=1, kind="ok")
    await alice.ok("message.report", conversation=conversation, seq=2, text=mark("rude"))
    await bob.ok("message.report", conversation=conversation, seq=5, text=mark("of theirs"))
    await alice.ok("conversation.set", conversation=conversation, pin=True, ext=mark("pinned"))
    await alice.ok("delete", conversation=conversation, seqs=[4])
    await alice.ok("read", conversation=conversation, seq=6)
    await alice.said("u/bob", mark("kept by nobody"), options={"onlineOnly": True})


async def groups_and_rooms(world: World, alice: Person, bob: Person, user: str) -> None:
    await bob.ok("group.create", group="team", members=[user, "carl"])
    await alice.ok("group.nick", group="team", nick=mark("nick"))
    await alice.said("g/team", mark("to all"), options={"receipt": True})
    await bob.said("g/team", "fine", options={"receipt": True})
    await alice.ok("receipt.report", conversation="g/team", seqs=[4])
    await alice.ok("group.create", group="owned", name="Owned", members=["bob", "carl"])
    await alice.ok("group.create", group="alone")
    await alice.said("g/alone", mark("to me"))
    await bob.ok("group.create", group="shut", join="approval")
    await alice.ok("group.join", group="shut", text=mark("let me in"))
    await world.invoke("room.create", {"room": "hall", "history": True, "ring": 10})
    await alice.ok("room.create", room="own")
    for person in (alice, bob):
        await person.ok("room.join", room="hall")
    await alice.said("r/hall", mark("in the room"))
    await bob.said("r/hall", "hello")
    await alice.ok("room.queue.put", room="hall", key="k", value=mark("queued"))
    await world.invoke("room.role", {"room": "hall", "user": user, "role": "manager"})


async def found(path: Path, word: str = MARK) -> list[str]:
    """Tables (and columns) of the store in this folder that hold the word."""
    where: list[str] = []
    if (dsn := path / "dsn").exists():
        conn = await asyncpg.connect(dsn.read_text())
        try:
            tables = await conn.fetch("SELECT tablename FROM pg_tables WHERE schemaname = current_schema()")
            for (table,) in tables:
                where += _in(table, [tuple(row) for row in await conn.fetch(f"SELECT * FROM {table}")], word)
        finally:
            await conn.close()
        return where
    with closing(apsw.Connection(str(path / "im.sqlite3"))) as db:
        names = db.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
        for (table,) in names:
            where += _in(str(table), db.execute(f"SELECT * FROM {table}").fetchall(), word)
    return where


def _in(table: str, rows: list[tuple[Any, ...]], word: str) -> list[str]:
    return [
        f"{table}: {value!r}"
        for row in rows
        for value in row
        if (isinstance(value, str) and word in value)
        or (isinstance(value, bytes | memoryview) and word.encode() in bytes(value))
    ]
