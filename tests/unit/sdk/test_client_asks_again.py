"""What the application asked for once it has after every reconnect: rooms with their tags, presence. What was
taken from it stays taken.
"""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from qianwan.errors import NotInRoom, RoomBlacklisted, RoomNotFound

from tests.support.qw1_responder import frame
from tests.support.scripted_gateway import Peer, ScriptedGateway, pack
from tests.support.sdk_client import client, until


def notice(name: str, **data: Any) -> bytes:
    return frame(7, b"\x02" + pack([name, data]))


def sync_nil() -> bytes:
    return frame(7, b"\x03" + pack([None, 0]))


def the_peer(gateway: ScriptedGateway) -> Peer:
    return next(iter(gateway.peers))


def joins(gateway: ScriptedGateway) -> list[dict[str, Any]]:
    return [args for name, args in gateway.calls if name == "room.join"]


async def test_a_room_is_entered_again_in_its_tags() -> None:
    async with ScriptedGateway() as gateway, client(gateway) as alice:
        room = await alice.join_room("hall", tags=["vip", "north"])
        the_peer(gateway).transport.abort()
        await until(lambda: len(joins(gateway)) == 2)
        the_peer(gateway).say(sync_nil())
        await until(lambda: len(joins(gateway)) == 3)
        assert joins(gateway) == [{"room": "hall", "tags": ["vip", "north"]}] * 3
        assert await alice.join_room("hall", tags=["south"]) is room
        assert joins(gateway)[-1] == {"room": "hall", "tags": ["south"]}
        assert await alice.join_room("hall") is room
        assert joins(gateway)[-1] == {"room": "hall"}


async def test_who_was_put_out_does_not_come_back_by_talking() -> None:
    async with ScriptedGateway() as gateway, client(gateway) as alice:
        room = await alice.join_room("hall")
        peer = the_peer(gateway)
        peer.say(notice("room.kicked", room="hall", by="boss", reason="noise"))
        peer.rooms.clear()
        with pytest.raises(NotInRoom, match="boss: noise"):
            await anext(room)
        for _ in range(2):
            with pytest.raises(NotInRoom):
                await room.send("me again")
        peer.transport.abort()
        await until(lambda: gateway.logins == 2)
        await alice.call("time")
        assert len(joins(gateway)) == 1
        assert (await anext(alice.notices())).name == "room.kicked"
        assert await alice.join_room("hall") is not room  # only the application decides


async def test_a_send_that_crosses_a_kick_does_not_enter_again() -> None:
    async with ScriptedGateway() as gateway, client(gateway) as alice:
        room = await alice.join_room("hall")
        peer = the_peer(gateway)
        peer.rooms.clear()
        sending = asyncio.ensure_future(room.send("crossing"))
        peer.say(notice("room.kicked", room="hall", by="", reason=""))
        with pytest.raises(NotInRoom):
            await sending
        assert len(joins(gateway)) == 1


async def test_a_closed_room_ends() -> None:
    async with ScriptedGateway() as gateway, client(gateway) as alice:
        room = await alice.join_room("hall")
        the_peer(gateway).say(notice("room.close", room="hall", by="boss"))
        with pytest.raises(RoomNotFound):
            await anext(room)


@pytest.mark.parametrize("code", [416, 500, 503, 504])
async def test_a_room_that_cannot_be_entered_now_is_entered_later(
    code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("qianwan.delivery.insist.RETRY_S", 0.01)
    async with ScriptedGateway() as gateway, client(gateway) as alice:
        room = await alice.join_room("hall")
        gateway.refusals = [("room.join", code)] * 3
        the_peer(gateway).transport.abort()
        await until(lambda: len(joins(gateway)) == 5)
        assert (await room.send("back")).seq == 0
        assert (await anext(room)).text == "back"


async def test_a_room_that_is_closed_to_this_user_ends_with_the_reason() -> None:
    async with ScriptedGateway() as gateway, client(gateway) as alice:
        room = await alice.join_room("hall")
        gateway.refusals = [("room.join", 13003)]
        the_peer(gateway).transport.abort()
        with pytest.raises(RoomBlacklisted):
            await anext(room)
        with pytest.raises(NotInRoom):
            await room.send("let me in")
        assert len(joins(gateway)) == 2


def watched(gateway: ScriptedGateway) -> list[tuple[list[str], int]]:
    return [(args["users"], args["seconds"]) for name, args in gateway.calls if name == "presence.subscribe"]


async def test_presence_is_subscribed_again_and_what_changed_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("qianwan.delivery.insist.RETRY_S", 0.01)
    async with ScriptedGateway() as gateway, client(gateway) as alice:
        gateway.results["presence.subscribe"] = {"states": [{"user": "bob", "online": False, "devices": []}]}
        gateway.results["presence.unsubscribe"] = {}
        first = await alice.presence.subscribe(["bob", "carl"], 600)
        assert [state["user"] for state in first] == ["bob"]
        await alice.presence.subscribe(["dora"], 60)
        await alice.presence.unsubscribe(["carl"])
        gateway.results["presence.subscribe"] = {"states": [{"user": "bob", "online": True, "devices": []}]}
        gateway.refusals = [("presence.subscribe", 503)]
        the_peer(gateway).transport.abort()
        told = await anext(alice.notices())
        assert told == ("presence", {"user": "bob", "online": True, "devices": []})
        users, seconds = watched(gateway)[-1]
        assert (users, 590 < seconds <= 600) == (["bob", "dora"], True)
        count = len(watched(gateway))
        the_peer(gateway).say(sync_nil())
        await until(lambda: len(watched(gateway)) == count + 1)


async def test_a_subscription_that_is_over_is_not_asked_for_again(monkeypatch: pytest.MonkeyPatch) -> None:
    async with ScriptedGateway() as gateway, client(gateway) as alice:
        gateway.results["presence.subscribe"] = {"states": []}
        await alice.presence.subscribe(["bob"], 0)
        the_peer(gateway).transport.abort()
        await until(lambda: gateway.logins == 2)
        await alice.call("time")
        assert len(watched(gateway)) == 1
