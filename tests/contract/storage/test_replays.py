"""Idempotency keys: whoever holds the ticket does the request, and every process has its answer."""

import asyncio

import pytest

from im_service.storage.errors import StoreConflict
from im_service.storage.records import Limits, Replay
from im_service.storage.store import Store
from tests.support.store_kit import Kit, count

RUNNING = Replay(0, 0, b"")


async def begin(store: Store, key: str, now_ms: int, digest: bytes = b"d", entries: int = 100) -> Replay:
    return await store.begin_request(key, digest, now_ms, 60, entries)


async def test_the_first_answer_is_kept_for_its_time(store: Store) -> None:
    first = await begin(store, "k", 100)
    assert first.ticket > 0
    assert await begin(store, "k", 110) == RUNNING
    with pytest.raises(StoreConflict):
        await begin(store, "k", 110, b"other")
    assert await store.finish_request(first.ticket, 201, b"made", 5000)
    assert await begin(store, "k", 4999) == Replay(0, 201, b"made")
    with pytest.raises(StoreConflict):
        await begin(store, "k", 4999, b"other")
    assert (await begin(store, "k", 5000, b"other")).ticket > first.ticket


async def test_a_dropped_key_is_free_again(store: Store) -> None:
    first = await begin(store, "k", 100)
    await store.drop_request(first.ticket)
    again = await begin(store, "k", 101, b"other")
    assert again.ticket > first.ticket, "a ticket is never given twice"


async def test_a_late_holder_leaves_its_successor_alone(store: Store) -> None:
    """The lease ran out, somebody else does the request now: neither answer nor drop of the first counts."""
    late = await begin(store, "k", 100)
    now = await begin(store, "k", 160)
    assert now.ticket > late.ticket
    assert not await store.finish_request(late.ticket, 200, b"late", 9000)
    await store.drop_request(late.ticket)
    assert await begin(store, "k", 170) == RUNNING
    assert await store.finish_request(now.ticket, 200, b"mine", 9000)
    await store.drop_request(now.ticket)
    assert await begin(store, "k", 171) == Replay(0, 200, b"mine"), "an answer that was given is not dropped"


async def test_keys_are_bounded_and_the_oldest_go_first(store: Store) -> None:
    for number in range(20):
        made = await begin(store, f"k{number}", 100, entries=5)
        await store.finish_request(made.ticket, 200, b"%d" % number, 9000)
        assert await count(store, "idempotency") <= 5
    for _ in range(10):
        kept = [await begin(store, f"k{number}", 101, entries=5) for number in range(15, 20)]
        assert [replay.body for replay in kept] == [b"15", b"16", b"17", b"18", b"19"], (
            "asking costs no place"
        )


async def test_keys_go_when_their_time_is_over(store: Store) -> None:
    made = await begin(store, "answered", 100)
    await store.finish_request(made.ticket, 200, b"", 9000)
    await begin(store, "abandoned", 100)
    assert await store.expire(160, Limits(0, 0, 0)) == 1
    assert await begin(store, "answered", 170) == Replay(0, 200, b"")
    assert await store.expire(9000, Limits(0, 0, 0)) == 1
    assert await count(store, "idempotency") == 0


async def test_one_of_many_processes_does_the_request(kit: Kit) -> None:
    """Twenty ask at the same time through two stores; the answer is there for all, also after a restart."""
    stores = [await kit.open(), await kit.open()]
    asked = await asyncio.gather(*(begin(stores[n % 2], "k", 100) for n in range(20)))
    (winner,) = [replay for replay in asked if replay.ticket]
    assert [replay for replay in asked if not replay.ticket] == [RUNNING] * 19
    await stores[1].finish_request(winner.ticket, 200, b"done", 9000)
    assert await begin(stores[0], "k", 101) == Replay(0, 200, b"done")
    await kit.close()
    assert await begin(await kit.open(), "k", 101) == Replay(0, 200, b"done")
