"""The SDK against `qianwan serve`: every suite over both transports, rooms, catching up, restarts of
either side.
"""

from __future__ import annotations

import asyncio
import itertools
import json
from pathlib import Path

import pytest
from qianwan import Backoff, Client, ConnectionClosed, FileCursor, State, StateChange
from qianwan.errors import DuplicateMessage, InvalidParameters, NotInRoom
from qianwan.light import LightSwarm

from tests.support.sdk_client import take, until
from tests.support.server_process import ServerProcess

SUITES = ("chachapoly", "aesgcm", "aegis128l")
WAYS = list(itertools.product(SUITES, ("tcp", "ws")))


@pytest.mark.parametrize(("suite", "transport"), WAYS)
async def test_messages_travel(server: ServerProcess, suite: str, transport: str) -> None:
    alice, bob = f"alice-{suite}-{transport}", f"bob-{suite}-{transport}"
    ways = {"suite": suite, "transport": transport}
    async with (
        Client(server.url, token=server.token(alice), **ways) as one,
        Client(server.url, token=server.token(bob), **ways) as two,
    ):
        acks = await asyncio.gather(*(one.send(bob, f"{number} " + "x" * 300) for number in range(200)))
        assert sorted(ack.seq for ack in acks) == list(range(1, 201))
        assert [text.split()[0] for text in await take(two, 200)] == [str(number) for number in range(200)]
        assert two.engine.feed.duplicates == 0
        await two.send(alice, "back")
        assert await take(one, 1) == ["back"]


async def test_all_devices_see_what_is_sent(server: ServerProcess) -> None:
    token = server.token("many")
    async with (
        Client(server.url, token=token, device_id="phone") as phone,
        Client(server.url, token=token, device_id="desk") as desk,
        Client(server.url, token=server.token("friend")) as friend,
    ):
        await phone.send("friend", "from my phone")
        await friend.send("many", "to both")
        assert await take(desk, 2) == ["from my phone", "to both"]
        assert await take(phone, 1) == ["to both"]


async def test_who_was_away_misses_nothing(server: ServerProcess, tmp_path: Path) -> None:
    where, store = server.url, FileCursor(tmp_path / "cursor")
    async with Client(where, token=server.token("away"), store=store):
        pass
    async with Client(where, token=server.token("writer")) as writer:
        await asyncio.gather(*(writer.send("away", str(number)) for number in range(500)))
    async with Client(where, token=server.token("away"), store=store) as away:
        assert await take(away, 300) == [str(number) for number in range(300)]
    async with Client(where, token=server.token("away"), store=FileCursor(tmp_path / "cursor")) as away:
        assert await take(away, 200) == [str(number) for number in range(300, 500)]


async def test_a_device_that_was_away_hears_what_the_other_one_did(
    server: ServerProcess, tmp_path: Path
) -> None:
    token, where, talk = server.token("twin"), server.url, "s/pal:twin"
    cursor = FileCursor(tmp_path / "cursor")
    async with Client(where, token=server.token("pal")) as pal:
        async with Client(where, token=token, device_id="desk", store=cursor) as desk:
            for number in range(1, 5):
                await pal.send("twin", str(number))
            assert await take(desk, 4) == ["1", "2", "3", "4"]
        async with Client(where, token=token, device_id="phone") as phone:
            assert await phone.delete(talk, [2, 3]) == 2
            await phone.read(talk, 3)
            await phone.clear_conversation(talk, 1)
        await pal.recall(talk, 4, mode="receiver")
        async with Client(where, token=token, device_id="desk", store=cursor) as desk, asyncio.timeout(10):
            messages, notices = desk.messages(), desk.notices()
            assert [(await anext(messages)).deletes("twin") for _ in range(2)] == [(2, 3), (4,)]
            assert [await anext(notices) for _ in range(2)] == [
                ("read", {"conversation": talk, "user": "twin", "seq": 3}),
                ("cleared", {"conversation": talk, "min_seq": 2}),
            ]
            told = await anext(pal.messages())
            assert (told.event, told.deletes("pal")) == ("delete", ())


async def test_rooms(server: ServerProcess) -> None:
    server.room("hall")
    async with (
        Client(server.url, token=server.token("host")) as host,
        Client(server.url, token=server.token("guest"), transport="ws") as guest,
    ):
        room, seat = await host.join_room("hall"), await guest.join_room("hall")
        for number in range(20):
            await room.send(str(number))
        async with asyncio.timeout(10):
            assert [(await anext(seat)).text for _ in range(20)] == [str(number) for number in range(20)]
        await seat.leave()
        with pytest.raises(NotInRoom):
            await guest.send_to("r/hall", "still here?")


async def test_refusals_are_typed(server: ServerProcess) -> None:
    async with Client(server.url, token=server.token("typist")) as me:
        await me.send("somebody", "one", client_id="same")
        await me.send("somebody", "one", client_id="same")
        with pytest.raises(DuplicateMessage):
            await me.send("somebody", "two", client_id="same")
        with pytest.raises(InvalidParameters):
            await me.send("not an id!", "hello")
        assert (await me.call("time"))["server_time_ms"] > 0


async def test_a_second_login_of_the_device_ends_the_first(server: ServerProcess) -> None:
    token = server.token("twice")
    same = {"token": token, "device_id": "phone"}
    async with Client(server.url, **same) as first, Client(server.url, **same) as second:
        with pytest.raises(ConnectionClosed, match="4003"):
            await take(first, 1)
        assert (first.state, second.state) == (State.CLOSED, State.ONLINE)


async def test_bad_tokens_are_refused_at_once(server: ServerProcess) -> None:
    with pytest.raises(ConnectionClosed, match="4001"):
        await Client(server.url, token="not.a.token").open()


async def test_a_swarm_of_light_members_counts_every_message(server: ServerProcess) -> None:
    server.room("arena", owner="speaker")
    tokens = [(f"seat-{n}", server.token(f"seat-{n}")) for n in range(60)]
    swarm = LightSwarm(server.url, tokens, room="arena", suites=SUITES, transports=("tcp", "ws"))
    await swarm.open()
    try:
        async with Client(server.url, token=server.token("speaker")) as me:
            room = await me.join_room("arena")
            for number in range(1, 101):
                await room.send(f"listen {number}")
            assert await swarm.received(60 * 100, timeout_s=30)
        totals = swarm.totals()
        assert (totals.online, totals.received) == (60, 6000)
        assert (totals.lost, totals.duplicated, totals.reordered, totals.closed) == (0, 0, 0, 0)
    finally:
        await swarm.close()


async def test_a_killed_server_comes_back_and_nothing_is_lost(tmp_path: Path) -> None:
    changes: list[StateChange] = []
    backoff = Backoff(base_s=0.05, cap_s=0.3, settled_s=0.1)
    with ServerProcess(tmp_path) as server:
        where = f"127.0.0.1:{server.gateway_port}"
        known = {"root_key": _root(server), "backoff": backoff}
        async with (
            Client(where, token=server.token("a"), on_state=changes.append, **known) as one,
            Client(where, token=server.token("b"), **known) as two,
        ):
            reading = asyncio.ensure_future(take(two, 400, 60))
            sends = []
            for number in range(400):
                sends.append(asyncio.ensure_future(one.send("b", str(number))))
                if number in (100, 250):
                    await until(lambda: one.state is State.ONLINE)
                    server.kill()
                    await asyncio.to_thread(server.start)
                await asyncio.sleep(0)
            async with asyncio.timeout(60):
                acks = await asyncio.gather(*sends)
            assert sorted(ack.seq for ack in acks) == list(range(1, 401))
            assert sorted(map(int, await reading)) == list(range(400))
            await until(lambda: one.state is State.ONLINE)
    assert sum(change.state is State.ONLINE for change in changes) >= 3


async def test_a_drained_server_is_left_and_found_again(tmp_path: Path) -> None:
    backoff = Backoff(base_s=0.05, cap_s=0.3, settled_s=0.1)
    with ServerProcess(tmp_path, {"server.drain_timeout_s": 2, "server.drain_spread_s": 0}) as server:
        where = f"127.0.0.1:{server.gateway_port}"
        known = {"root_key": _root(server), "backoff": backoff, "token": server.token("a")}
        changes: list[StateChange] = []
        async with Client(where, on_state=changes.append, **known) as me:
            await me.send("b", "before")
            assert await asyncio.to_thread(server.stop) == 0
            sending = asyncio.ensure_future(me.send("b", "after"))
            await until(lambda: changes[-1].state is not State.ONLINE)
            await asyncio.to_thread(server.start)
            async with asyncio.timeout(30):
                assert (await sending).seq == 2


def _root(server: ServerProcess) -> str:
    root = json.loads(server.get("/v1/lbs")[1])["root"]
    assert isinstance(root, str)
    return root


async def test_a_disabled_account_is_sent_away_and_hears_nothing_after_the_answer(
    server: ServerProcess,
) -> None:
    """The message is sent as soon as the call that disables is answered."""
    for number in range(10):
        user = f"shut{number}"
        async with Client(server.url, token=server.token(user)) as me:
            status, _ = await asyncio.to_thread(server.post, f"/v1/users/{user}/disable", {})
            said = {"sender": "boss", "target": f"u/{user}", "body": {"text": "too late"}}
            assert status == 200
            assert (await asyncio.to_thread(server.post, "/v1/messages", said))[0] == 200
            with pytest.raises(ConnectionClosed, match="4005"):
                await take(me, 1)
