"""Caches never keep what is no longer so."""

from __future__ import annotations

import asyncio
import gc

import pytest

from im_service.live.directory import Cache


class Box:
    def __init__(self, key: str) -> None:
        self.key = key
        self.value = 0


class Source:
    """A store whose reads wait until released."""

    def __init__(self) -> None:
        self.value = 1
        self.reads = 0
        self.gate: asyncio.Event | None = None

    async def read(self, key: str) -> int:
        self.reads += 1
        value = self.value
        if self.gate is not None:
            await self.gate.wait()
        return value


def make(source: Source) -> Cache[str, Box, int]:
    return Cache(Box, lambda box, value: setattr(box, "value", value), source.read)


async def test_concurrent_readers_share_one_read_and_one_object() -> None:
    source = Source()
    cache = make(source)
    first, second = await asyncio.gather(cache.get("k"), cache.get("k"))
    assert first is second
    assert source.reads == 1
    assert cache.peek("k") is first


async def test_a_change_during_a_read_is_not_lost() -> None:
    source = Source()
    source.gate = asyncio.Event()
    cache = make(source)
    getting = asyncio.create_task(cache.get("k"))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    source.value = 2
    cache.apply("k", 2)
    source.gate.set()
    assert (await getting).value == 2
    assert source.reads == 2


async def test_a_change_is_seen_by_everybody_who_holds_the_object() -> None:
    source = Source()
    cache = make(source)
    box = await cache.get("k")
    cache.apply("k", 5)
    assert box.value == 5
    source.value = 9
    await cache.refresh("k")
    assert box.value == 9


async def test_what_nobody_holds_is_forgotten() -> None:
    source = Source()
    cache = make(source)
    await cache.get("k")
    await asyncio.sleep(0)
    gc.collect()
    assert cache.peek("k") is None
    await cache.refresh("k")
    assert source.reads == 1


async def test_a_failed_read_reaches_the_caller_and_is_tried_again() -> None:
    class Broken(Source):
        async def read(self, key: str) -> int:
            self.reads += 1
            if self.reads == 1:
                raise OSError("away")
            return 3

    source = Broken()
    cache = make(source)
    with pytest.raises(OSError, match="away"):
        await cache.get("k")
    assert (await cache.get("k")).value == 3
