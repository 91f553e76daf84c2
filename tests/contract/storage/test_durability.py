"""kill -9 of a writing process at random moments: what was acknowledged is there, nothing is half done."""

import asyncio
import random
import signal
import sys
from collections import Counter
from pathlib import Path

from im_service.storage.records import EDITED, RECALLED
from im_service.storage.store import Store
from tests.support.store_kit import Kit, everything
from tests.support.store_victim import GROUPS, PEERS

ROOT = Path(__file__).parents[3]
LIVES = 4


async def one_life(kit: Kit, seed: int, seconds: float) -> list[list[str]]:
    """-> what the process had said when it was killed, as words."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.support.store_victim", kit.engine, kit.where, str(seed),
        cwd=ROOT, stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert process.stdout is not None
    assert (await process.stdout.readline()).strip() == b"ready"
    reading = asyncio.create_task(process.stdout.read())
    await asyncio.sleep(seconds)
    process.send_signal(signal.SIGKILL)
    said = (await reading).decode()
    await process.wait()
    # A last line without its end was cut by the kill.
    return [line.split() for line in said.split("\n")[:-1]]


async def check_messages(store: Store, said: list[list[str]]) -> None:
    notices = {m.client_id for m in await everything(store, None, "g/x0")}
    for peer in range(PEERS):
        talk = f"s/a:b{peer}"
        found = await everything(store, "a", talk)
        assert [m.seq for m in found] == list(range(1, len(found) + 1))
        doubled = [key for key, times in Counter(m.client_id for m in found).items() if times > 1]
        assert not doubled
        place = {m.client_id: m.seq for m in found}
        for words in said:
            if words[0] == "sent" and words[1] == talk:
                assert place.get(words[2]) == int(words[3]), words
        for m in found:
            assert bool(m.flags & EDITED) == bool(await store.versions(talk, m.seq))
            told = f"recall {talk} {m.seq}" in notices
            assert bool(m.flags & RECALLED) == told
            assert (m.payload == b"gone") == told


async def check_groups(store: Store, said: list[list[str]]) -> None:
    for number in range(GROUPS):
        name = f"x{number}"
        (group,) = await store.groups([name])
        members = [m.user for m in (await store.members(name, limit=5000)).items]
        assert group.member_count == len(members)
        notices = {m.client_id for m in await everything(store, None, "g/" + name)}
        for user in members:
            assert user == "owner" or f"add {user}" in notices
            (row,) = await store.inbox(user, "", ["g/" + name])
            assert row.active
        for notice in notices:
            what, _, user = notice.partition(" ")
            if what == "add" and f"out {user}" not in notices:
                assert user in members
        for words in said:
            if words[:2] == ["added", name]:
                assert f"add {words[2]}" in notices


async def check_people(store: Store, said: list[list[str]]) -> None:
    held = (await store.relations("a", 0, 100_000)).items
    friends = {relation.other for relation in held if relation.friend}
    back = await store.relation_pairs([(friend, "a") for friend in friends])
    assert all(relation.friend for relation in back.values())
    assert {words[1] for words in said if words[0] == "friends"} <= friends
    marks: dict[tuple[str, str], int] = {}
    for words in said:
        if words[0] == "read":
            key = (words[2], words[1])
            marks[key] = max(marks.get(key, 0), int(words[3]))
    for (talk, user), seq in marks.items():
        assert (await store.read_marks(talk, [user]))[user] >= seq


async def test_kill_at_random_moments(kit: Kit) -> None:
    seed = random.randrange(1 << 20)
    print(f"seed {seed}")
    rng = random.Random(seed)
    said: list[list[str]] = []
    for life in range(LIVES):
        said += await one_life(kit, seed * LIVES + life, rng.uniform(0.05, 0.8))
    assert any(words[0] == "sent" for words in said)
    store = await kit.open()
    await check_messages(store, said)
    await check_groups(store, said)
    await check_people(store, said)
