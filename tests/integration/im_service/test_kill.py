"""kill -9 of a service at random moments of everything it does: whole operations only, none lost."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import sys
import time
from collections import Counter
from pathlib import Path

import asyncpg

from im_service.outbox.ports import Event
from tests.support.im_audit import Audit
from tests.support.im_victim import SETTINGS
from tests.support.im_world import World, open_world

ROOT = Path(__file__).resolve().parents[3]
LIVES = 6


async def one_life(folder: Path, seed: int, seconds: float) -> list[list[str]]:
    """-> the operations the process had seen answered when it was killed."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.support.im_victim", str(folder), str(seed),
        cwd=ROOT, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stderr is not None
    errors = asyncio.create_task(process.stderr.read())
    first = await process.stdout.readline()
    assert first.strip() == b"ready", (await errors).decode()
    reading = asyncio.create_task(process.stdout.read())
    await asyncio.sleep(seconds)
    assert process.returncode is None, (await errors).decode()
    process.send_signal(signal.SIGKILL)
    said = (await reading).decode()
    await process.wait()
    # A last line without its end was cut by the kill.
    return [line.split() for line in said.split("\n")[:-1]]


async def backends_gone(folder: Path) -> None:
    """PostgreSQL's side of a killed process may still be committing: wait until its backends have ended."""
    dsn = folder / "dsn"
    if not dsn.exists():
        return
    others = (
        "SELECT count(*) FROM pg_stat_activity"
        " WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()"
    )
    admin = await asyncpg.connect(dsn.read_text())
    try:
        for _ in range(1500):
            if not await admin.fetchval(others):
                return
            await asyncio.sleep(0.02)
        raise AssertionError("backends of the killed process did not end")
    finally:
        await admin.close()


async def test_kill_at_random_moments_of_every_operation(tmp_path: Path) -> None:
    seed = random.randrange(1 << 20)
    print(f"seed {seed}")
    rng = random.Random(seed)
    said: list[list[str]] = []
    for life in range(LIVES):
        said += await one_life(tmp_path, seed * LIVES + life, rng.uniform(0.1, 2.0))
        await backends_gone(tmp_path)
    print(sorted(Counter(words[0] for words in said).items()))
    assert said
    async with open_world(tmp_path, SETTINGS) as world:
        world.clock.ms = time.time_ns() // 1_000_000
        await Audit(world, said).all()
        await copied(world, said, await world.copies())


async def copied(world: World, said: list[list[str]], events: list[Event]) -> None:
    """Every acknowledged change was told, in order, and nothing that is not so."""
    told: dict[str, Event] = {}
    for event in events:
        told.setdefault(event.event_id, event)  # a message that was held comes again when it is released
    places: dict[str, int] = {}
    for event in told.values():
        if (seq := event.data.get("seq")) and event.kind.startswith(("message.", "group.")):
            assert int(str(seq)) > places.get(event.subject, 0), event
            places[event.subject] = int(str(seq))
    sent = {(e.subject, e.data.get("client_id"), e.data.get("seq")) for e in told.values()}
    erased = {(e.subject, e.data.get("seq")) for e in told.values() if e.data.get("erased")}
    kinds = {(event.kind, event.subject) for event in told.values()}
    blacks = {(event.data.get("user"), event.data.get("other")) for event in told.values()}
    for words in said:
        if words[0] == "sent" and int(words[2]) % 3:  # others may be held
            place = words[1], int(words[3])
            assert place in erased or (place[0], words[2], place[1]) in sent, words
        elif words[0] == "room_made":
            assert ("room.create", "r/" + words[1]) in kinds, words
        elif words[0] == "account":
            assert ("account.mute", "u/" + words[1]) in kinds, words
        elif words[0] == "relation.black":
            assert (words[1], words[2]) in blacks, words
    rooms = [subject[2:] for kind, subject in kinds if kind == "room.create"]
    assert {room.room for room in await world.store.rooms(rooms)} == set(rooms)
    muted = [subject[2:] for kind, subject in kinds if kind == "account.mute"]
    assert all(account.mute_single_ms for account in (await world.store.accounts(muted)).values())


class Copy:
    """Somebody who reads the copy from page to page, and goes on where they were."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self.cursor = ""
        self.events: list[Event] = []

    async def read(self, world: World, ended: asyncio.Event) -> None:
        log = world.im.events
        self.cursor = self.cursor or await log.first()
        while True:
            last = ended.is_set()
            page = await log.read(self.cursor, self.rng.randint(1, 50))
            self.events += page.events
            self.cursor = page.next
            if not page.more and last:
                return
            if not page.more:
                await log.wait(self.cursor, 0.05)


def last_times(events: list[Event]) -> list[str]:
    """Ids as each was read last: a held message that is released comes at that moment, and in its own place,
    too, to whoever reads that later."""
    ids = [event.event_id for event in events]
    return list(dict.fromkeys(reversed(ids)))[::-1]


async def test_a_reader_beside_processes_that_are_killed_gets_every_event_once(tmp_path: Path) -> None:
    """It goes on from page to page while they die and others take over (on SQLite between their lives): as
    if it read everything at the end."""
    seed = random.randrange(1 << 20)
    print(f"seed {seed}")
    rng = random.Random(seed)
    said: list[list[str]] = []
    copy, ended, beside = Copy(rng), asyncio.Event(), (tmp_path / "dsn").exists()
    for life in range(int(os.environ.get("QIANWAN_TEST_LIVES", "2"))):
        ended.clear()
        if beside:
            async with open_world(tmp_path, SETTINGS) as world:
                reading = asyncio.create_task(copy.read(world, ended))
                said += await one_life(tmp_path, seed * 1000 + life, rng.uniform(0.3, 1.5))
                ended.set()
                await reading
            await backends_gone(tmp_path)
        else:
            said += await one_life(tmp_path, seed * 1000 + life, rng.uniform(0.3, 1.5))
            ended.set()
            async with open_world(tmp_path, SETTINGS) as world:
                await copy.read(world, ended)
    ended.set()
    async with open_world(tmp_path, SETTINGS) as world:
        await copy.read(world, ended)
        whole = await world.copies()
        assert last_times(copy.events) == last_times(whole)
        assert said
        await copied(world, said, copy.events)
