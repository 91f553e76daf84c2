"""However many something concerns, it is done in slices: between two others have their turn of the loop."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable
from pathlib import Path
from typing import Any

import pytest

from im_service.chatrooms.door import seat, unseat
from im_service.ports import Session
from im_service.settings import ImSettings
from im_service.turns import SLICE
from tests.support.im_world import World, open_world

ENGINES = ("sqlite",)
MANY = 5 * SLICE
SAID = ("publish", "join", "leave", "join_user", "leave_user", "kick")


class Turns:
    """What is said to the gateways in each turn of the loop."""

    def __init__(self, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
        self.said: list[tuple[Any, ...]] = []
        self.most = self.before = 0
        for name in SAID:
            monkeypatch.setattr(world.downlink, name, self._says(name))
        monkeypatch.setattr(world.downlink, "publish_many", lambda _, items: self.said.extend(items))

    def _says(self, name: str) -> Any:
        return lambda *args, **_: self.said.append((name, *args))

    async def _count(self) -> None:
        while True:
            self.most = max(self.most, len(self.said) - self.before)
            self.before = len(self.said)
            await asyncio.sleep(0)

    async def of(self, work: Awaitable[object]) -> None:
        counting = asyncio.create_task(self._count())
        await asyncio.sleep(0)
        await work
        counting.cancel()
        assert len(self.said) >= MANY, "it was done"
        assert self.most <= 2 * SLICE, f"{self.most} in one turn"


async def test_very_many_who_watch_somebody_hear_it_in_slices_and_the_last_word_last(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_world(tmp_path) as world:
        for n in range(MANY):
            await world.invoke("presence.subscribe", {"users": ["star"]}, f"w{n}")
        turns = Turns(world, monkeypatch)

        async def flicker() -> None:
            for n in range(10):
                here = [(f"phone{n}", 1)] if n % 2 else []
                world.im.presence._tell("star", here)
                if n in (3, 7):
                    await asyncio.sleep(0)
            await world.settle()

        await turns.of(flicker())
        assert len(turns.said) <= 4 * MANY, "who flickers is not told of each time"
        for watcher in ("u/w0", f"u/w{MANY - 1}", f"u/w{MANY // 2}"):
            heard = [said[3] for said in turns.said if said[1] == watcher]
            assert b"phone9" in heard[-1]
            assert len(heard) > 1


async def test_a_large_group_is_dismissed_in_slices(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with open_world(tmp_path) as world:
        users = [f"m{n:05}" for n in range(MANY)]
        await world.store.create_group("vast", "owner", b"", users, MANY + 1, 1)
        turns = Turns(world, monkeypatch)
        await turns.of(world.invoke("group.dismiss", {"group": "vast"}))


def guests(world: World, count: int) -> list[Session]:
    """Sessions that the service knows, without the store."""
    sessions = [Session(1, 1000 + n, f"guest{n:05}", "phone") for n in range(count)]
    for session in sessions:
        world.im.sessions.add(session, 1, session.conn)
    return sessions


async def test_a_large_chatroom_is_closed_in_slices_and_its_queue_is_not_cleared_guest_by_guest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_world(tmp_path) as world:
        await world.invoke("room.create", {"room": "hall"})
        room = await world.im.room_table.get("hall")
        for session in guests(world, MANY):
            state = world.im.sessions.get(session)
            assert state is not None
            seat(state, room)
        turns, cleared = Turns(world, monkeypatch), []
        monkeypatch.setattr(world.store, "queue_clear", lambda *args: cleared.append(args))
        await turns.of(world.invoke("room.close", {"room": "hall"}))
        assert (room.online, cleared) == (0, [])


async def test_a_broadcast_for_one_platform_goes_out_in_slices(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_world(tmp_path) as world:
        guests(world, MANY)
        turns = Turns(world, monkeypatch)
        await turns.of(world.invoke("broadcast", {"body": {"data": "x"}, "platforms": [1]}))


async def test_watches_of_very_many_who_left_at_once_are_forgotten_little_by_little(tmp_path: Path) -> None:
    async with open_world(tmp_path, ImSettings(presence_grace_ms=10)) as world:
        book = world.im.presence
        for n in range(MANY):
            await world.invoke("presence.subscribe", {"users": ["star"]}, f"w{n}")
            book.gone(f"w{n}")
        world.clock.advance(11)
        sizes = []
        while book._left:
            book.gone("nobody")
            sizes.append(len(book._watches))
        assert len(sizes) > MANY // SLICE
        assert all(a - b <= SLICE for a, b in zip([MANY, *sizes], sizes, strict=False))
        assert (sizes[-1], book._watchers) == (0, {})


async def test_pages_of_a_chatroom_follow_who_comes_and_goes(tmp_path: Path) -> None:
    rng = random.Random(7)
    async with open_world(tmp_path) as world:
        await world.invoke("room.create", {"room": "hall"})
        room = await world.im.room_table.get("hall")
        inside: list[Session] = []
        outside = guests(world, 60) + [Session(2, n, f"guest{n:05}", "desk") for n in range(30)]
        for step in range(400):
            came = rng.random() < 0.5 and bool(outside)
            pool, other = (outside, inside) if came else (inside, outside)
            if pool:
                session = pool.pop(rng.randrange(len(pool)))
                state = world.im.sessions.hear(session)
                (seat if came else unseat)(state, room)
                other.append(session)
            if step % 7 == 0:
                after = f"guest{rng.randrange(60):05}"
                found = await world.invoke("room.online", {"room": "hall", "after": after, "limit": 5})
                expected = sorted({session.user for session in inside if session.user > after})
                assert (found["users"], found["more"]) == (expected[:5], len(expected) > 5)
                assert found["online"] == len({session.user for session in inside})
