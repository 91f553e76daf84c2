"""A stranger whose numbers outlived the store starts over, by the page alone."""

from __future__ import annotations

import asyncio

from tests.conformance.stranger.stranger_client import Stranger
from tests.conformance.stranger.stranger_place import Place
from tests.support.scripted_gateway import ScriptedGateway

TALK = "s/alice:bob"


async def session(gateway: ScriptedGateway, place: Place) -> list[str]:
    """Log in, catch up, go."""

    def talk() -> list[str]:
        one = Stranger.connect("127.0.0.1", gateway.port, gateway.keys.root_text)
        place.welcomed(one.login("bob"))
        try:
            return place.catch_up(one)
        finally:
            one.stream.close()

    return await asyncio.to_thread(talk)


def write(gateway: ScriptedGateway, *texts: str) -> None:
    for text in texts:
        gateway.store(TALK, "alice", text)


async def test_another_incarnation_starts_over() -> None:
    async with ScriptedGateway() as gateway:
        place = Place()
        gateway.incarnation = b"\x01" * 16
        write(gateway, "a", "b", "c")
        assert await session(gateway, place) == ["a", "b", "c"]
        del gateway.log[TALK][1:]
        gateway.incarnation = b"\x02" * 16
        write(gateway, "x", "y", "z")
        gateway.acks[TALK] = 1
        assert await session(gateway, place) == ["x", "y", "z"]
        assert (place.restarts, await session(gateway, place)) == (1, [])


async def test_numbers_that_go_back_start_over_without_being_told() -> None:
    async with ScriptedGateway() as gateway:
        place = Place()
        write(gateway, "a", "b", "c")
        await session(gateway, place)
        del gateway.log[TALK][1:]
        write(gateway, "x")
        gateway.acks[TALK] = 1
        assert (await session(gateway, place), place.restarts) == (["x"], 1)


async def test_an_incarnation_that_is_not_said_changes_nothing() -> None:
    async with ScriptedGateway() as gateway:
        place = Place()
        for text, incarnation in (("a", None), ("b", b"\x01" * 16), ("c", None), ("d", b"\x01" * 16)):
            gateway.incarnation = incarnation
            write(gateway, text)
            assert await session(gateway, place) == [text]
        assert place.restarts == 0
