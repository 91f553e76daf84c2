"""What control/coordination/documents.py promises, kept by every engine."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from control.coordination.documents import (
    KEY_BYTES,
    VALUE_BYTES,
    Change,
    Conflict,
    Document,
    Documents,
    DocumentTooLarge,
)
from control.coordination.replica import Replica
from tests.support.sdk_client import until

Pair = tuple[Documents, Documents]


async def take(changes: AsyncIterator[Change], count: int) -> list[Change]:
    async with asyncio.timeout(10):
        return [await anext(changes) for _ in range(count)]


async def test_what_was_put_is_read_by_everybody(pair: Pair) -> None:
    one, other = pair
    put = await one.put("settings/live", b"1")
    assert put == Document("settings/live", b"1", put.revision)
    assert await other.get("settings/live") == put
    assert await other.get("settings/none") is None


async def test_revisions_of_all_documents_only_rise(documents: Documents) -> None:
    found = [(await documents.put(key, b"x")).revision for key in ("a", "b", "a", "c")]
    found.append(await documents.delete("a"))
    found.append((await documents.put("a", b"y")).revision)
    assert found == sorted(set(found))
    assert found[0] > 0


async def test_a_revision_that_was_replaced_is_refused_and_the_present_one_named(pair: Pair) -> None:
    one, other = pair
    first = await one.put("a", b"1", 0)
    second = await other.put("a", b"2", first.revision)
    for expected in (0, first.revision, second.revision + 1):
        with pytest.raises(Conflict) as refused:
            await one.put("a", b"3", expected)
        assert refused.value.revision == second.revision
    with pytest.raises(Conflict):
        await one.delete("a", first.revision)
    assert await one.get("a") == second
    assert await one.delete("a", second.revision) > second.revision
    with pytest.raises(Conflict) as refused:
        await one.put("a", b"3", second.revision)
    assert refused.value.revision == 0
    with pytest.raises(Conflict):
        await one.delete("a", second.revision)
    assert await one.delete("a") == 0


async def test_of_many_that_expect_the_same_revision_one_wins(pair: Pair) -> None:
    begun = await pair[0].put("a", b"")
    outcomes = await asyncio.gather(
        *(pair[n % 2].put("a", b"%d" % n, begun.revision) for n in range(20)), return_exceptions=True
    )
    won = [outcome for outcome in outcomes if isinstance(outcome, Document)]
    assert len(won) == 1
    assert all(isinstance(outcome, Document | Conflict) for outcome in outcomes)
    assert await pair[1].get("a") == won[0]


async def test_a_listing_has_a_prefix_by_key_and_nothing_else(documents: Documents) -> None:
    for key in ("a/2", "a/1", "ab", "a%/3", "b/1", "a/1/x"):
        await documents.put(key, key.encode())
    listed = await documents.list("a/")
    assert [each.key for each in listed.documents] == ["a/1", "a/1/x", "a/2"]
    assert listed.revision >= max(each.revision for each in listed.documents)
    assert (await documents.list("zz")).documents == ()
    assert len((await documents.list("")).documents) == 6


async def test_a_watch_tells_every_change_in_order_and_none_twice(pair: Pair) -> None:
    one, other = pair
    listed = await one.list("w/")
    watch = one.watch("w/", listed.revision)
    told: list[Change] = []
    for n in range(60):
        source = pair[n % 2]
        key = f"w/{n % 7}"
        if n % 10 == 9:
            told.append(Change(key, None, await source.delete(key)))
        else:
            put = await source.put(key, b"%d" % n)
            told.append(Change(key, put.value, put.revision))
        await other.put("elsewhere", b"%d" % n)
    told = [change for change in told if change.revision]
    assert await take(watch, len(told)) == told
    late = one.watch("w/", told[30].revision)
    assert await take(late, len(told) - 31) == told[31:]


async def test_a_watch_waits_for_what_comes(pair: Pair) -> None:
    one, other = pair
    watch = one.watch("w/", (await one.list("w/")).revision)
    waiting = asyncio.ensure_future(anext(watch))
    await asyncio.sleep(0)
    assert not waiting.done()
    put = await other.put("w/a", b"1")
    async with asyncio.timeout(10):
        assert await waiting == Change("w/a", b"1", put.revision)


async def test_bounds_are_told(documents: Documents) -> None:
    await documents.put("a" * KEY_BYTES, b"x" * VALUE_BYTES)
    for key in ("", "a" * (KEY_BYTES + 1), "a\n", "/a", "a/", "a//b", "é" * 129):
        with pytest.raises(ValueError, match="no key"):
            await documents.put(key, b"")
        with pytest.raises(ValueError, match="no key"):
            await documents.get(key)
    with pytest.raises(DocumentTooLarge):
        await documents.put("a", b"x" * (VALUE_BYTES + 1))


async def test_a_replica_has_what_is_there_and_follows(pair: Pair) -> None:
    one, other = pair
    first = await one.put("r/a", b"1")
    replica = Replica(other, "r/")
    await replica.start()
    heard: list[tuple[str, bytes | None]] = []
    replica.on_change(lambda key, document: heard.append((key, document and document.value)))
    assert replica.complete
    assert replica.get("r/a") == first
    await one.put("r/b", b"2")
    await one.delete("r/a")
    await until(lambda: len(heard) == 3)
    assert heard == [("r/a", b"1"), ("r/b", b"2"), ("r/a", None)]
    assert [each.key for each in replica.all()] == ["r/b"]
    await replica.stop()
