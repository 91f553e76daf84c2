"""Against `qianwan serve`, through cuts: rooms with tags, presence, devices, long messages."""

from __future__ import annotations

import asyncio
import json
import random

import pytest
from qianwan import Backoff, Client, Options, TooBig
from qianwan.errors import NotInRoom

from tests.support.chat_world import eventually
from tests.support.faulty_proxy import FaultyProxy
from tests.support.sdk_client import take, until
from tests.support.server_process import ServerProcess

BACKOFF = Backoff(base_s=0.02, cap_s=0.1, settled_s=0.05)


def known(server: ServerProcess, user: str) -> dict[str, object]:
    root = json.loads(server.get("/v1/lbs")[1])["root"]
    return {"token": server.token(user), "root_key": root, "backoff": BACKOFF}


async def cut(me: Client) -> None:
    """Break the connection, and wait for the next one."""
    before = me.engine._supervisor.link
    assert before is not None
    before.abort()
    await until(lambda: me.engine._supervisor.link not in (None, before))


async def test_tags_and_presence_outlive_a_cut(server: ServerProcess) -> None:
    server.room("tag-hall")
    async with (
        FaultyProxy(*server.gateway, random.Random(1)) as proxy,
        Client(proxy.address, **known(server, "tag-guest")) as guest,
        Client(server.url, token=server.token("tag-host")) as host,
    ):
        hall, seat = await host.join_room("tag-hall"), await guest.join_room("tag-hall", tags=["vip"])
        assert [state["online"] for state in await guest.presence.subscribe(["tag-friend"])] == [False]
        await cut(guest)
        async with asyncio.timeout(20):
            told = await anext(guest.notices())
            while told.name != "presence":
                told = await anext(guest.notices())
            assert (told.data["user"], told.data["online"]) == ("tag-friend", False)

            async def is_back() -> bool:
                return "tag-guest" in await hall.users()

            await eventually(is_back, "back in the room")
            await hall.send("for the few", options=Options(tag="vip"))
            assert (await anext(seat)).text == "for the few"
            async with Client(server.url, token=server.token("tag-friend")):
                while told.name != "presence" or not told.data["online"]:
                    told = await anext(guest.notices())


async def test_a_kick_is_the_end_of_talking_in_the_room(server: ServerProcess) -> None:
    async with (
        Client(server.url, token=server.token("kick-boss")) as boss,
        Client(server.url, token=server.token("kick-guest")) as guest,
    ):
        server.room("kick-hall", owner="kick-boss")
        hall, seat = await boss.join_room("kick-hall"), await guest.join_room("kick-hall")
        await seat.send("hello")
        await hall.kick("kick-guest", "enough")
        async with asyncio.timeout(10):
            with pytest.raises(NotInRoom, match="kick-boss: enough"):
                async for _ in seat:
                    pass
        with pytest.raises(NotInRoom):
            await seat.send("me again")
        assert list(await hall.users()) == ["kick-boss"]


async def test_two_programs_of_one_user_live_side_by_side(server: ServerProcess) -> None:
    token = server.token("twofold")
    async with (
        Client(server.url, token=token) as one,
        Client(server.url, token=token) as two,
        Client(server.url, token=server.token("writer-of-two")) as writer,
    ):
        await writer.send("twofold", "to both")
        assert await take(one, 1) == await take(two, 1) == ["to both"]


async def test_a_message_that_is_too_long_harms_nothing(server: ServerProcess) -> None:
    async with Client(server.url, token=server.token("chatterbox")) as me:
        with pytest.raises(TooBig):
            await me.send("listener", "x" * 70_000)
        await cut(me)
        assert (await me.send("listener", "short")).seq == 1


async def test_history_pages_are_whole(server: ServerProcess) -> None:
    async with Client(server.url, token=server.token("annalist")) as me:
        for number in range(25):
            await me.send("reader", str(number))
        found, to_seq, more = [], None, True
        while more:
            page = await me.history("s/annalist:reader", to_seq=to_seq, limit=10)
            found += [entry.text for entry in page]
            to_seq, more = page.next, page.more
        assert found == [str(number) for number in range(24, -1, -1)]
