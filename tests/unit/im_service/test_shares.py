"""Who asks the store for much waits behind their own requests: turns of reads, few changes at once."""

from __future__ import annotations

import asyncio

import pytest

from im_service.storage import shares as shares_module
from im_service.storage.errors import StoreUnavailable
from im_service.storage.shares import SERVER, Shares, Turns, asking


class Desk:
    """Reads that end when the test says so."""

    def __init__(self, width: int) -> None:
        self.turns = Turns(width)
        self.order: list[str] = []
        self.running: dict[str, asyncio.Event] = {}

    def ask(self, who: str, what: str) -> asyncio.Task[None]:
        async def read() -> None:
            asking.set(who)
            async with self.turns:
                self.order.append(what)
                self.running[what] = asyncio.Event()
                await self.running[what].wait()

        return asyncio.create_task(read())

    async def settle(self) -> None:
        for _ in range(10):
            await asyncio.sleep(0)

    async def run_all(self) -> None:
        """End what runs, one after the other, until nothing runs."""
        await self.settle()
        while self.running:
            self.running.pop(next(iter(self.running))).set()
            await self.settle()


async def test_who_asks_for_much_holds_nobody_up() -> None:
    desk = Desk(2)
    for number in range(600):
        desk.ask("mallory", f"m{number}")
    await desk.settle()
    desk.ask("alice", "a")
    desk.ask("bob", "b")
    await desk.run_all()
    assert desk.order[:6] == ["m0", "m1", "m2", "a", "b", "m3"]
    assert desk.order[6:] == [f"m{number}" for number in range(4, 600)], "in the order of asking"
    assert desk.turns._free == 2
    assert not desk.turns._waiting


async def test_the_service_itself_goes_first() -> None:
    desk = Desk(1)
    for who, what in (("mallory", "m0"), ("mallory", "m1"), ("alice", "a"), ("", "login"), ("", "upkeep")):
        desk.ask(who, what)
    await desk.run_all()
    assert desk.order == ["m0", "login", "upkeep", "m1", "a"]


@pytest.mark.parametrize("at", ["waiting", "called"])
async def test_who_goes_away_leaves_their_turn_to_the_next(at: str) -> None:
    desk = Desk(1)
    desk.ask("alice", "a")
    await desk.settle()
    leaving = desk.ask("bob", "b")
    desk.ask("bob", "b2")
    await desk.settle()
    if at == "called":
        desk.running.pop("a").set()
        while not desk.turns._waiting["bob"] or len(desk.turns._waiting["bob"]) > 1:  # noqa: ASYNC110
            await asyncio.sleep(0)
    leaving.cancel()
    await desk.run_all()
    assert leaving.cancelled()
    assert desk.order == ["a", "b2"]
    assert desk.turns._free == 1


async def test_nobody_waits_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shares_module, "WAIT_S", 0.01)
    desk = Desk(1)
    desk.ask("alice", "a")
    await desk.settle()
    with pytest.raises(StoreUnavailable):
        await desk.ask("bob", "b")
    await desk.run_all()
    assert desk.order == ["a"]
    assert desk.turns._free == 1


async def test_few_changes_of_one_user_are_under_way_at_once() -> None:
    shares = Shares(4)
    under_way: dict[str, int] = {}
    most: dict[str, int] = {}
    order: list[int] = []
    go_on = asyncio.Event()

    async def change(who: str, number: int) -> None:
        asking.set(who)
        async with shares.share():
            order.append(number)
            under_way[who] = under_way.get(who, 0) + 1
            most[who] = max(most.get(who, 0), under_way[who])
            await go_on.wait()
            await asyncio.sleep(0)
            under_way[who] -= 1

    tasks = [asyncio.create_task(change("mallory", number)) for number in range(100)]
    others = [asyncio.create_task(change(who, -1)) for who in ("alice", "", SERVER) for _ in range(3)]
    for _ in range(5):
        await asyncio.sleep(0)
    assert under_way == {"mallory": 4, "alice": 3, "": 3, SERVER: 3}
    tasks[50].cancel()
    go_on.set()
    await asyncio.gather(*tasks, *others, return_exceptions=True)
    assert most["mallory"] == 4
    assert [number for number in order if number >= 0] == [n for n in range(100) if n != 50]
    assert not shares._taken
    assert not shares._waiting


async def test_a_change_that_waits_too_long_for_its_own_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shares_module, "WAIT_S", 0.01)
    shares = Shares(1)
    asking.set("alice")
    async with shares.share():
        with pytest.raises(StoreUnavailable):
            async with shares.share():
                pass
    assert not shares._taken
    assert not shares._waiting


async def test_a_change_of_many_rows_counts_as_several() -> None:
    shares = Shares(4)
    order: list[str] = []
    go_on = asyncio.Event()

    async def change(what: str, rows: int) -> None:
        asking.set("mallory")
        async with shares.share(rows):
            order.append(what)
            await go_on.wait()

    asked = {"large": 500, "small": 1, "middle": 199, "last": 50}
    tasks = [asyncio.create_task(change(what, rows)) for what, rows in asked.items()]
    for _ in range(5):
        await asyncio.sleep(0)
    assert order == ["large"]
    go_on.set()
    await asyncio.gather(*tasks)
    assert order == list(asked)
    assert not shares._taken
    assert not shares._waiting
