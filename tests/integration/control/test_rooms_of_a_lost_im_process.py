"""Two im processes, of which one stands still, dies and comes back: who is in a room stays what everybody was
told last, and what it had not finished is. The tests go on with what the ones before left.
"""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Iterator

import pytest
from qianwan.constants import FrameType
from qianwan.models import Message
from qianwan.protocol.messages import decode, encode

from control.outgoing.signing import make_secret
from control.rendezvous import choose
from im_service.ids import node_of
from tests.support.asked_server import AskedServer, says
from tests.support.chat_link import PlainLink
from tests.support.im_cluster import IMS, Cluster, im_cluster
from tests.support.sdk_client import until
from tests.support.server_process import free_ports

LOST = IMS[0]
OK, UNKNOWN, NOT_INSIDE = 0, 504, 13001
PATIENCE_S, STEADY = 30.0, 8


@pytest.fixture(scope="module")
def engine() -> AskedServer:
    """For media; nobody is there before it is started."""
    server = AskedServer()
    (server.port,), server.answers = free_ports(1), says(verdict="reject")
    return server


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory, engine: AskedServer) -> Iterator[Cluster]:
    settings = {
        "engines__media__url": engine.url, "engines__media__secret": make_secret(),
        "engines__media__tries": 20, "engines__media__retry_ms": 200, "engines__media__break_most_ms": 1000,
    }  # fmt: skip
    with im_cluster(tmp_path_factory.mktemp("lost"), dead_after_s=3.0, **settings) as running:
        yield running


def served(name: str) -> str:
    """A room of this name that the im process serves which will be lost."""
    rooms = (f"{name}{number}" for number in range(50))
    return next(room for room in rooms if choose(f"r/{room}", IMS) == LOST)


async def logged(cluster: Cluster, event: str, times: int) -> None:
    """The gateway has seen this of the im process so often."""

    def seen() -> bool:
        lines = cluster.gateway.log().splitlines()
        return sum(f'"{event}"' in line and f'"peer_id": {LOST},' in line for line in lines) >= times

    await asyncio.to_thread(cluster.gateway.wait_for, seen, f"{event} {times}")


async def online(cluster: Cluster, room: str) -> list[str]:
    return list((await cluster.http("GET", f"/v1/rooms/{room}/online"))[1]["users"])


async def heard(
    speaker: PlainLink, room: str, text: str, by: list[PlainLink], not_by: list[PlainLink], **options: str
) -> None:
    """What one says in a room comes to these, and to those it does not."""
    assert (await speaker.send(f"r/{room}", text, text, **options)).code == OK
    for link in by:
        await until(lambda link=link: text in link.room_texts(room))
    for link in not_by:
        assert (await link.call("conversations"))[0] == OK  # behind what the gateway sent before
        assert text not in link.room_texts(room)


async def test_what_an_im_process_does_late_undoes_nothing_that_others_answered_meanwhile(
    cluster: Cluster,
) -> None:
    """It stands still with a leave, a join and guests; all of them are something else when it goes on."""
    again, gone, never = served("again"), served("gone"), served("never")
    ann, bob = await cluster.link("ann"), await cluster.link("bob")
    for room in (again, gone, never):
        await cluster.room(room)
        assert (await ann.call("room.join", room=room, tags=["vip"]))[0] == OK
    for room in (again, gone):
        assert (await bob.call("room.join", room=room, tags=["vip"]))[0] == OK
    process = cluster.ims[LOST]
    os.kill(process.pid, signal.SIGSTOP)
    try:
        late = await asyncio.gather(bob.call("room.leave", room=again), bob.call("room.join", room=never))
        assert [code for code, _ in late] == [UNKNOWN, UNKNOWN]
        for method, room in (
            ("room.leave", again),
            ("room.join", again),
            ("room.join", never),
            ("room.leave", never),
            ("room.leave", gone),
        ):
            assert (await bob.call(method, room=room))[0] == OK
    finally:
        os.kill(process.pid, signal.SIGCONT)
    await logged(cluster, "node is there", 2)
    await until_settled(cluster, {again: ["ann", "bob"], gone: ["ann"], never: ["ann"]})
    await heard(ann, again, "one", [bob], [])
    for room in (gone, never):
        await heard(ann, room, f"one-{room}", [], [bob])
        assert (await bob.send(f"r/{room}", f"two-{room}", "x")).code == NOT_INSIDE
    assert (await bob.send(f"r/{again}", "two", "two")).code == OK
    for link in (ann, bob):
        link.link.close()


async def until_settled(cluster: Cluster, wanted: dict[str, list[str]]) -> None:
    """These are the guests, and stay so while the im processes tell each other of theirs."""
    now: dict[str, list[str]] = {}
    steady, until_s = 0, time.monotonic() + PATIENCE_S
    while steady < STEADY:
        assert time.monotonic() < until_s, now
        now = {room: await online(cluster, room) for room in wanted}
        steady = steady + 1 if now == wanted else 0
        await asyncio.sleep(0.25)


async def test_who_is_in_a_room_is_known_and_may_leave_when_its_im_process_dies(cluster: Cluster) -> None:
    rooms = [served("dies"), served("dead")]
    ann, bob, cho = [await cluster.link(user) for user in ("ann", "bob", "cho")]
    for room in rooms:
        await cluster.room(room)
        for link in (ann, bob, cho):
            assert (await link.call("room.join", room=room, tags=["vip"]))[0] == OK
    await asyncio.to_thread(cluster.ims[LOST].kill)
    assert await online(cluster, rooms[0]) == ["ann", "bob", "cho"], "asked before anybody knows of the death"
    await logged(cluster, "node is gone", 2)
    for room in rooms:
        assert (await bob.call("room.leave", room=room))[0] == OK
        await heard(ann, room, f"three-{room}", [cho], [bob])
        await heard(ann, room, f"vip-{room}", [cho], [bob], tag="vip")
        assert await online(cluster, room) == ["ann", "cho"]
    await asyncio.to_thread(cluster.ims[LOST].start)
    await logged(cluster, "node is there", 3)
    for room in rooms:
        assert (await cho.call("room.leave", room=room))[0] == OK
        await heard(ann, room, f"four-{room}", [], [bob, cho])
    await until_settled(cluster, {key: ["ann"] for key in rooms})
    for link in (ann, bob, cho):
        link.link.close()


def notice(message: Message) -> object:
    return message.body.get("event") if isinstance(message.body, dict) else None


async def test_what_a_dead_im_process_had_not_asked_the_other_one_asks(
    cluster: Cluster, engine: AskedServer
) -> None:
    links = [await cluster.link(f"painter{number}") for number in range(8)]
    picture = encode(["one", 1, {"url": "https://cdn.example.com/a.png"}, None, None])
    sent: set[int] = set()
    for link in links:
        answer = await link.link.request(FrameType.SEND, "u/bob", picture)
        assert answer.code == OK
        sent.add(decode(answer.payload)[0])
    assert any(node_of(server_id) == int(LOST) for server_id in sent)
    await asyncio.to_thread(cluster.ims[LOST].kill)
    await engine.start()
    try:
        await until(lambda: {asked.said["server_id"] for asked in engine.asked} >= sent, PATIENCE_S)
        for link in links:
            await until(lambda link=link: [notice(each) for each in link.messages] == ["recall"])
    finally:
        await engine.stop()
    for link in links:
        link.link.close()
