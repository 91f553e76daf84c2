"""What becomes of an endpoint is an event, once, and not for the endpoint itself."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest

from control.coordination.sqlite_documents import SqliteDocuments
from control.outbox.endpoints import Endpoint
from control.outbox.tidings import AGAIN_MS, Tidings
from tests.support.sdk_client import until
from tests.unit.control.outbox.test_delivery import MemoryLetters
from tests.unit.control.outbox.test_keeper import Shared, begun, ended

NOW = 1_800_000_000_000
PAUSED = Endpoint(url="https://shop.example/", incarnation="a", state="paused", since=NOW // 1000)


@pytest.fixture
async def shared(tmp_path: Path) -> AsyncIterator[Shared]:
    documents = SqliteDocuments(tmp_path / "documents.sqlite3")
    await documents.start()
    yield Shared(documents)
    await documents.stop(0.0)


def tidings(store: MemoryLetters, now_ms: int = NOW) -> Tidings:
    return Tidings(store, lambda: now_ms)


async def test_each_change_of_state_is_told_once_and_again_only_by_another_process() -> None:
    store = MemoryLetters()
    one = tidings(store)
    resumed = msgspec.structs.replace(PAUSED, state="active", since=PAUSED.since + 1)
    for endpoint in (PAUSED, PAUSED, resumed, resumed):
        await one.state("shop", endpoint)
    assert [msgspec.json.decode(event.data)["state"] for event in store.told] == ["paused", "active"]
    await tidings(store, NOW + AGAIN_MS).state("shop", resumed)
    assert store.told[2].server_id == store.told[1].server_id, "a repeat, by its id"
    assert store.told[2].time_ms == NOW + AGAIN_MS, "times rise with the log"
    await tidings(store, NOW + 2 * AGAIN_MS).state("shop", resumed)
    await one.state("new", Endpoint(url="https://shop.example/"))
    assert len(store.told) == 3
    ids = {event.server_id for event in store.told}
    await tidings(store).state("bank", PAUSED)
    await tidings(store).state("shop", msgspec.structs.replace(PAUSED, incarnation="b"))
    assert len({event.server_id for event in store.told} - ids) == 2


async def test_changes_within_one_second_are_told_each_under_an_id_of_its_own() -> None:
    """Whoever drops what they had seen, by its id, would be left with the state before the last."""
    store = MemoryLetters()
    endpoint = Endpoint(url="https://shop.example/", incarnation="a")
    for state in ("paused", "active", "paused", "active", "disabled"):
        endpoint = endpoint.put_into(state, NOW // 1000, "no answer" if state == "disabled" else "")
        one = tidings(store)
        await one.state("shop", endpoint)
        await one.state("shop", msgspec.structs.replace(endpoint, batch=7))
    assert len({event.server_id for event in store.told}) == len(store.told) == 5
    assert msgspec.json.decode(store.told[-1].data)["why"] == "no answer"


async def test_what_the_store_does_not_take_is_told_later() -> None:
    store = MemoryLetters()
    one = tidings(store)
    store.broken = True
    await one.state("shop", PAUSED)
    store.broken = False
    await one.state("shop", PAUSED)
    assert [event.subject for event in store.told] == ["endpoint/shop"]


async def test_the_owner_tells_that_an_endpoint_was_disabled_and_nobody_else_does(shared: Shared) -> None:
    one, two = shared.process(1), shared.process(2)
    await begun(one, two)
    paused = await shared.put("shop", state="disabled", why="no answer", since=int(time.time()))
    await until(lambda: len(shared.letters.told) >= 1)
    for _ in range(3):
        await one.tick()
        await two.tick()
    await asyncio.gather(ended(one), ended(two))
    (event,) = shared.letters.told
    assert msgspec.json.decode(event.data) == {
        "endpoint": "shop", "state": "disabled", "why": "no answer", "since_ms": paused.since * 1000,
    }  # fmt: skip


async def test_an_endpoint_is_not_given_what_is_said_of_itself(shared: Shared) -> None:
    shared.log.put("endpoint.letters", "endpoint/shop")
    shared.log.put("endpoint.letters", "endpoint/bank")
    shared.log.put("endpoint.state", "endpoint/shop")
    one = shared.process(1)
    shared.live = [1]
    await begun(one)
    for name in ("shop", "bank"):
        await shared.put(name)
    await until(lambda: len(shared.got) == 3)
    await until(lambda: {one.delivery(name).place for name in ("shop", "bank")} == {"c3"})
    await ended(one)
    assert sorted((name, event) for _, name, event, _ in shared.got) == [
        ("bank", "e1"), ("bank", "e3"), ("shop", "e2"),
    ]  # fmt: skip
