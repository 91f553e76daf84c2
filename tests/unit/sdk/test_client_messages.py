"""A gateway that loses, repeats and forgets: what the application sees and sends stays right."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path
from typing import Any

import pytest
from qianwan import (
    ConnectionClosed,
    FileCursor,
    OutboxFull,
    RequestError,
    State,
)
from qianwan.errors import NotFound, NotInRoom, RequestTimeout

from tests.support.qw1_responder import frame
from tests.support.scripted_gateway import ScriptedGateway, pack
from tests.support.sdk_client import client, take, until


@pytest.mark.parametrize("suite", ["auto", "chachapoly", "aesgcm", "aegis128l"])
async def test_a_message_travels_over_every_suite(suite: str) -> None:
    async with ScriptedGateway() as gateway:
        async with client(gateway, "bob", suite=suite) as bob, client(gateway) as alice:
            ack = await alice.send("bob", "hello")
            assert (ack.seq, await take(bob, 1)) == (1, ["hello"])
            assert (alice.user, alice.node, alice.state) == ("alice", "gate1", State.ONLINE)
        assert gateway.goodbyes == [1000, 1000]
        assert gateway.acks == {"s/alice:bob": 1}


async def test_gaps_are_pulled_before_later_messages_are_shown() -> None:
    async with ScriptedGateway() as gateway, client(gateway, "bob") as bob:
        await until(lambda: len(gateway.calls) == 1)
        for number in range(1, 31):
            message = gateway.store("s/alice:bob", "alice", str(number))
            if number % 3 == 0:
                gateway.deliver("bob", message)
                gateway.deliver("bob", message)
        assert await take(bob, 30) == [str(number) for number in range(1, 31)]
        assert bob.engine.feed.duplicates > 0


async def test_sends_in_flight_survive_a_cut_and_are_stored_once() -> None:
    async with (
        ScriptedGateway() as gateway,
        client(gateway, pipeline=20) as alice,
        client(gateway, "bob") as bob,
    ):
        swallowed: list[str] = []

        def lose_first_answer(payload: list[Any]) -> bool:
            if payload[0] not in swallowed:
                swallowed.append(payload[0])
                return False
            return True

        gateway.answers = lose_first_answer
        sends = [asyncio.ensure_future(alice.send("bob", str(i))) for i in range(20)]
        await until(lambda: len(swallowed) == 20)
        for peer in list(gateway.peers):
            if peer.user == "alice":
                peer.transport.abort()
        acks = await asyncio.gather(*sends)
        assert [ack.seq for ack in acks] == list(range(1, 21))
        assert len(gateway.log["s/alice:bob"]) == 20
        assert await take(bob, 20) == [str(i) for i in range(20)]


async def test_an_unanswered_send_is_repeated_on_the_same_connection() -> None:
    async with ScriptedGateway() as gateway, client(gateway, ack_timeout_s=0.2) as alice:
        counts: list[int] = []
        gateway.answers = lambda payload: counts.append(1) is not None or len(counts) > 1
        assert (await alice.send("bob", "again")).seq == 1
        assert gateway.logins == 1
        assert len(counts) > 1


async def test_what_was_missed_while_away_is_pulled(tmp_path: Path) -> None:
    store = tmp_path / "cursor.json"
    async with ScriptedGateway() as gateway:
        for number in range(5):
            gateway.store("s/alice:bob", "alice", f"early {number}")
        async with client(gateway, "bob", store=FileCursor(store)) as bob:
            assert await take(bob, 3) == ["early 0", "early 1", "early 2"]
        for number in range(500):
            gateway.store("g/team", "carol", f"group {number}")
        gateway.acks.clear()  # a server that forgot: the file decides
        async with client(gateway, "bob", store=FileCursor(store)) as bob:
            shown = await take(bob, 502)
        assert [text for text in shown if text.startswith("early")] == ["early 3", "early 4"]
        assert [text for text in shown if text.startswith("group")] == [f"group {n}" for n in range(500)]


async def test_the_outbox_is_bounded_and_says_so() -> None:
    async with ScriptedGateway() as gateway, client(gateway, max_pending=3) as alice:
        gateway.answers = lambda payload: False
        sends = [asyncio.ensure_future(alice.send(f"bob{i}", str(i))) for i in range(3)]
        await until(lambda: len(gateway.ids) == 3)
        with pytest.raises(OutboxFull):
            await alice.send("bob", "one too many")
        for send in sends:
            send.cancel()


async def test_refusals_are_typed_and_lost_answers_of_calls_are_honest() -> None:
    async with ScriptedGateway() as gateway, client(gateway) as alice:
        with pytest.raises(NotFound, match="no such user"):
            await alice.send("nobody", "hello")
        with pytest.raises(RequestError, match="404"):
            await alice.call("what.is.this")
        with pytest.raises(RequestTimeout):
            await alice.call("never", timeout_s=0.1)
        waiting = asyncio.ensure_future(alice.call("never"))
        await until(lambda: gateway.calls.count(("never", {})) == 2)
        next(iter(gateway.peers)).transport.abort()
        with pytest.raises(ConnectionClosed):
            await waiting
        assert await alice.call("time") == {}, "on the next connection"


async def test_rooms_are_joined_again_and_show_each_message_once() -> None:
    async with ScriptedGateway() as gateway, client(gateway) as alice, client(gateway, "bob") as bob:
        room, other = await alice.join_room("lobby"), await bob.join_room("lobby")
        assert (await room.send("one")).seq == 0
        assert [(await anext(side)).text for side in (room, other)] == ["one", "one"]
        for peer in list(gateway.peers):
            peer.transport.abort()
        await until(lambda: [name for name, _ in gateway.calls].count("room.join") == 4)
        await room.send("two")
        assert (await anext(other)).text == "two"
        await other.leave()
        with pytest.raises(StopAsyncIteration):
            await anext(other)


async def test_a_reader_that_rests_loses_nothing() -> None:
    async with ScriptedGateway() as gateway, client(gateway, "bob", max_queue=20) as bob:
        for number in range(300):
            gateway.deliver("bob", gateway.store("s/alice:bob", "alice", str(number)))
        await until(lambda: len(bob.engine.feed._queue) >= 20)
        assert len(bob.engine.feed._queue) < 250
        assert await take(bob, 300) == [str(number) for number in range(300)]


async def test_clean_close_acknowledges_what_was_handled() -> None:
    async with ScriptedGateway() as gateway:
        for number in range(3):
            gateway.store("s/alice:bob", "alice", str(number))
        async with client(gateway, "bob") as bob:
            await take(bob, 2)
        assert gateway.acks == {"s/alice:bob": 2}
        with contextlib.suppress(RuntimeError):
            async with client(gateway, "bob") as bob:
                await take(bob, 1)
                raise RuntimeError("the application failed")
        assert gateway.acks == {"s/alice:bob": 2}


async def test_frame_acks_follow_what_was_received() -> None:
    async with ScriptedGateway() as gateway, client(gateway, "bob"):
        for number in range(40):
            gateway.deliver("bob", gateway.store("s/alice:bob", "alice", str(number)))
        peer = next(iter(gateway.peers))
        await until(lambda: peer.acked == 40)


async def test_refused_pulls_are_tried_again_until_they_are_answered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("qianwan.delivery.insist.RETRY_S", 0.01)
    async with ScriptedGateway() as gateway:
        for number in range(3):
            gateway.store("s/alice:bob", "alice", str(number))
        gateway.refusals = [("sync", 500), ("sync", 403)]
        gateway.refusals += [("pull", code) for code in (416, 503, 500, 504, 414)]
        async with client(gateway, "bob") as bob:
            assert await take(bob, 3) == ["0", "1", "2"]
        assert gateway.refusals == []


async def test_a_conversation_that_is_no_longer_mine_holds_up_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("qianwan.delivery.insist.RETRY_S", 0.01)
    async with ScriptedGateway() as gateway, client(gateway, "bob") as bob:
        await until(lambda: len(gateway.calls) == 1)
        gateway.store("g/left", "carol", "not for bob")
        gateway.refusals = [("pull", 802)]
        gateway.deliver("bob", gateway.store("g/left", "carol", "gone"))
        gateway.deliver("bob", gateway.store("s/alice:bob", "alice", "still here"))
        assert await take(bob, 2) in (["still here", "gone"], ["gone", "still here"])


async def test_a_service_that_forgot_the_room_is_told_again() -> None:
    async with ScriptedGateway() as gateway, client(gateway) as alice:
        room = await alice.join_room("lobby")
        peer = next(iter(gateway.peers))
        peer.rooms.clear()
        assert (await room.send("still here")).seq == 0
        assert (await anext(room)).text == "still here"
        peer.rooms.clear()
        peer.say(frame(7, b"\x03" + pack([None, 0])))
        await until(lambda: peer.rooms)
        await room.leave()
        with pytest.raises(NotInRoom):
            await room.send("gone")
