"""The machine's clock is set, forwards and backwards: nothing is lost, nobody is refused."""

from __future__ import annotations

from pathlib import Path

from im_service.errors import Code
from im_service.rates import Rate
from im_service.settings import DAY_MS, ImSettings
from im_service.upkeep import BELIEVED_MS
from tests.support.im_world import World, open_world


async def _history(world: World, user: str) -> int:
    person = await world.login(user, "reader")
    page = await person.ok("history", conversation="s/ann:ben", from_seq=1, limit=100, reverse=False)
    await person.logout()
    return len(page["messages"])


async def _said(world: World, count: int, name: str = "") -> None:
    ann = await world.login("ann")
    for number in range(count):
        await ann.said("u/ben", client_id=f"{name}{number}")
    await ann.logout()


async def test_a_clock_that_is_ahead_across_a_sweep_loses_nothing(tmp_path: Path) -> None:
    async with open_world(tmp_path) as world:
        await _said(world, 50)
        await world.im.upkeep.expire()
        world.clock.ms += 400 * DAY_MS
        world.clock.advance(60_000)
        assert await world.im.upkeep.expire() == 0
        assert world.im.stats()["clock_ahead_seconds"] == 400 * DAY_MS // 1000
        world.clock.ms -= 400 * DAY_MS
        assert await _history(world, "ben") == 50
        await world.im.upkeep.expire()
        assert world.im.stats()["clock_ahead_seconds"] == 0


async def test_a_clock_that_is_ahead_at_the_start_loses_nothing(tmp_path: Path) -> None:
    """Also with a store that never had a sweep, whose newest message says what time it may be."""
    for sweeps_before in (0, 1):
        async with open_world(tmp_path) as world:
            await _said(world, 10, f"{sweeps_before}-")
            for _ in range(sweeps_before):
                await world.im.upkeep.expire()
        async with open_world(tmp_path) as world:
            world.clock.ms += 400 * DAY_MS
            assert await world.im.upkeep.expire() == 0
            world.clock.ms -= 400 * DAY_MS
            assert await _history(world, "ben") == 10 * (1 + sweeps_before)


async def test_a_clock_that_goes_back_and_forth_loses_nothing(tmp_path: Path) -> None:
    async with open_world(tmp_path) as world:
        await _said(world, 5)
        for step in (-400, 400, 400, -400):
            world.clock.ms += step * DAY_MS
            world.clock.advance(60_000)
            await world.im.upkeep.expire()
        assert await _history(world, "ben") == 5


async def test_a_clock_that_stays_ahead_is_believed_in_the_end(tmp_path: Path) -> None:
    async with open_world(tmp_path) as world:
        await _said(world, 5)
        await world.im.upkeep.expire()
        world.clock.ms += 400 * DAY_MS
        world.clock.advance(60_000)
        assert await world.im.upkeep.expire() == 0
        world.clock.advance(BELIEVED_MS)
        assert await world.im.upkeep.expire() >= 5


async def test_time_that_passes_deletes_as_before(tmp_path: Path) -> None:
    async with open_world(tmp_path) as world:
        await _said(world, 5)
        for left in (5, 5, 5, 0):
            world.clock.advance(100 * DAY_MS)
            await world.im.upkeep.expire()
            assert await _history(world, "ben") == left


async def test_a_clock_set_back_refuses_nobody(tmp_path: Path) -> None:
    slow = Rate(1, 4)
    limits = ImSettings(
        account_rate=slow, device_rate=slow, conversation_rate=slow, call_rate=slow, stranger_rate=slow
    )
    async with open_world(tmp_path, limits) as world:
        ann = await world.login("ann")
        for _ in range(3):
            await ann.said("u/ben")
            await ann.ok("time")
        world.clock.ms -= 30_000
        await ann.said("u/ben")
        await ann.ok("time")


async def test_server_ids_do_not_go_back_with_the_clock(tmp_path: Path) -> None:
    async with open_world(tmp_path) as world:
        ann = await world.login("ann")
        before, _ = await ann.said("u/ben")
    async with open_world(tmp_path) as world:
        world.clock.ms -= 30_000
        ann = await world.login("ann")
        after, _ = await ann.said("u/ben", client_id="after")
        assert after > before


async def test_windows_end_also_where_the_last_stamp_lies_in_the_future(tmp_path: Path) -> None:
    """The clock was ahead for one message; the stamps behind it stay there, the windows do not."""
    async with open_world(tmp_path, ImSettings(rooms_by_clients=True)) as world:
        ann = await world.login("ann")
        await ann.ok("room.create", room="hall", history=True)
        await ann.ok("group.create", group="team")
        ben = await world.login("ben")
        await ben.ok("room.join", room="hall")
        await ben.said("u/carl")
        _, before = await ben.said("u/carl")
        world.clock.ms += 400 * DAY_MS
        await ben.said("u/carl")
        await ben.said("r/hall")
        world.clock.ms -= 400 * DAY_MS
        _, seq = await ben.said("u/carl")
        server_id, _ = await ben.said("r/hall")
        world.clock.advance(60_000)
        code, _ = await ben.call("recall", conversation="s/ben:carl", seq=before)
        assert code == 0, "what has a right stamp has its window"
        world.clock.advance(150 * DAY_MS)
        for method, how in (
            ("recall", {"conversation": "s/ben:carl", "seq": seq}),
            ("edit", {"conversation": "s/ben:carl", "seq": seq, "body": {"text": "x"}}),
            ("room.recall", {"room": "hall", "server_id": server_id}),
        ):
            assert (await ben.call(method, **how))[0] == Code.RECALL_WINDOW, method


async def test_a_clock_set_back_by_minutes_refuses_nobody_a_window(tmp_path: Path) -> None:
    async with open_world(tmp_path) as world:
        ben = await world.login("ben")
        _, seq = await ben.said("u/carl")
        world.clock.ms -= 600_000
        await ben.ok("recall", conversation="s/ben:carl", seq=seq)
