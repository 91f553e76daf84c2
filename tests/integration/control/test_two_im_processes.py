"""Two im processes, a gateway and a control process: whoever asks, what one of the im processes knows is
answered.
"""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Iterator
from typing import Any

import pytest
from qianwan.constants import EventKind
from qianwan.protocol.messages import decode

from control.rendezvous import choose
from tests.support.chat_link import PlainLink
from tests.support.event_copy.handover import Watch
from tests.support.im_cluster import IMS, SPARE, Cluster, im_cluster, knows
from tests.support.sdk_client import until
from tests.support.server_process import ServerProcess
from tests.support.webhook_receiver import receiving

PATIENCE_S = 120.0
STOPPED_S = 15.0


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with im_cluster(tmp_path_factory.mktemp("cluster"), dead_after_s=10.0) as running:
        yield running


def of_both(kind: str, name: str) -> list[str]:
    """A name of this kind that either im process serves."""
    names = [f"{name}{number}" for number in range(20)]
    return [next(each for each in names if choose(f"{kind}/{each}", IMS) == im) for im in IMS]


async def test_the_app_sees_and_ends_what_happens_in_any_room(cluster: Cluster) -> None:
    bad, bob = await cluster.link("bad"), await cluster.link("bob")
    for name in of_both("r", "hall"):
        await cluster.room(name)
        for link in (bad, bob):
            assert (await link.call("room.join", room=name))[0] == 0
        for _ in range(4):
            assert (await cluster.http("GET", f"/v1/rooms/{name}/online"))[1]["online"] == 2
        assert (await cluster.http("POST", f"/v1/rooms/{name}/kick", {"user": "bad"}))[0] == 200
        assert (await cluster.http("GET", f"/v1/rooms/{name}"))[1]["online"] == 1
        assert (await bad.call("room.join", room=name))[0] == 0
        assert (await cluster.http("POST", f"/v1/rooms/{name}/black", {"user": "bad"}))[0] == 200
        assert (await bob.send(f"r/{name}", f"secret-{name}", "secret")).code == 0
        assert (await cluster.http("DELETE", f"/v1/rooms/{name}"))[0] == 200
        await until(lambda name=name: bob.notices("room.close"))
        assert bad.room_texts(name) == []
        assert (await cluster.http("GET", f"/v1/rooms/{name}/online"))[1]["online"] == 0
    for link in (bad, bob):
        link.link.close()


async def test_what_the_app_says_in_a_room_is_in_the_ring_of_newcomers(cluster: Cluster) -> None:
    names = of_both("r", "ring")
    for name in names:
        await cluster.room(name, ring=10)
        body = {"sender": "app", "target": f"r/{name}", "body": {"text": "one"}}
        assert (await cluster.http("POST", "/v1/messages", body))[0] == 200
    body = {"sender": "app", "targets": [f"r/{name}" for name in names], "body": {"text": "two"}}
    status, answer = await cluster.http("POST", "/v1/messages/batch", body)
    assert (status, [line["code"] for line in answer["results"]]) == (200, [0, 0])
    link = await cluster.link("newcomer")
    for name in names:
        code, joined = await link.call("room.join", room=name)
        assert (code, [message[7]["text"] for message in joined["recent"]]) == (0, ["one", "two"])
    link.link.close()


async def test_whoever_is_in_a_room_reads_its_history(cluster: Cluster) -> None:
    for name in of_both("r", "read"):
        await cluster.room(name, history=True)
        for user in of_both("u", "reader"):
            link = await cluster.link(user)
            assert (await link.call("history", conversation=f"r/{name}"))[0] == 13001
            assert (await link.call("room.join", room=name))[0] == 0
            assert (await link.send(f"r/{name}", f"{name}-{user}", "hi")).code == 0
            code, page = await link.call("history", conversation=f"r/{name}")
            assert (code, page["messages"][0][7]["text"]) == (0, "hi")
            link.link.close()


async def test_the_app_sees_which_devices_of_anybody_are_online(cluster: Cluster) -> None:
    for user in of_both("u", "owner"):
        link = await cluster.link(user, "tablet")
        assert (await link.call("time"))[0] == 0
        for _ in range(4):
            lines = (await cluster.http("GET", f"/v1/users/{user}/devices"))[1]["devices"]
            assert [(line["device"], line["online"]) for line in lines] == [("tablet", True)]
        link.link.close()


async def test_watchers_hear_of_devices_whichever_process_serves_whom(cluster: Cluster) -> None:
    watchers, watched = of_both("u", "watcher"), of_both("u", "watched")
    offline = {user: (False, []) for user in watched}
    online = {user: (True, [{"device": "tablet", "platform": 0}]) for user in watched}
    links = [await cluster.link(user) for user in watchers]

    async def asked(link: PlainLink) -> dict[str, Any]:
        code, answer = await link.call("presence.subscribe", users=watched)
        assert code == 0
        return {state["user"]: (state["online"], state["devices"]) for state in answer["states"]}

    def told(link: PlainLink) -> dict[str, Any]:
        events = (decode(payload) for kind, payload in link.events if kind == EventKind.PRESENCE)
        return {user: (is_online, devices) for user, is_online, devices in events}

    for link in links:
        assert await asked(link) == offline
    others = [await cluster.link(user, "tablet") for user in watched]
    for link in links:
        await until(lambda link=link: told(link) == online)
        assert await asked(link) == online
    for link in others:
        link.link.close()
    for link in links:
        await until(lambda link=link: told(link) == offline)
        assert await asked(link) == offline
        link.link.close()


async def test_who_is_in_a_room_is_known_when_another_im_process_comes(cluster: Cluster) -> None:
    """The set of im processes is another one after it."""
    names = [f"moved{number}" for number in range(60)]
    names = [name for name in names if choose(f"r/{name}", (*IMS, SPARE)) == SPARE][:6]
    assert {choose(f"r/{name}", IMS) for name in names} == set(IMS)
    bob = await cluster.link("bob")
    for name in names:
        await cluster.room(name)
        assert (await bob.call("room.join", room=name))[0] == 0
    await asyncio.to_thread(cluster.spare.start)
    for each in (cluster.gateway, cluster.control):
        await asyncio.to_thread(each.wait_for, lambda e=each: knows(e, SPARE), "the third im process")

    def inside() -> bool:
        online = [cluster.ask("GET", f"/v1/rooms/{name}/online")[1]["users"] for name in names]
        return online == [["bob"]] * len(names)

    await asyncio.to_thread(cluster.control.wait_for, inside, "bob inside")
    for name in names:
        assert (await bob.send(f"r/{name}", f"still-{name}", "hi")).code == 0
        assert (await cluster.http("POST", f"/v1/rooms/{name}/kick", {"user": "bob"}))[0] == 200
        assert (await bob.send(f"r/{name}", f"out-{name}", "hi")).code == 13001
    bob.link.close()


async def test_an_endpoint_goes_from_owner_to_owner_without_a_gap(cluster: Cluster) -> None:
    """Killed, standing still for longer than others take it for alive, drained: whoever comes next goes on.
    The last test here, as im processes leave for good."""
    ims = {**cluster.ims, SPARE: cluster.spare}
    if cluster.spare.process is None:
        await asyncio.to_thread(cluster.spare.start)
    left = [*IMS, SPARE]

    def owner() -> ServerProcess:
        return ims[str(choose("endpoints/shop", left))]

    async with receiving() as receiver:
        made = {"name": "shop", "url": receiver.url, "batch": 5}
        assert (await cluster.http("POST", "/v1/admin/endpoints", made))[0] == 201
        watch = Watch(cluster, receiver)
        watching = asyncio.create_task(watch.run())

        async def more() -> None:
            """Something said from now on comes, and all before it."""
            due = watch.last + 10
            await until(lambda: watch.last >= due and watch.whole(), PATIENCE_S)

        await more()
        first = owner()
        first.kill()
        left.remove(str(first.settings["server.node_id"]))
        await more()
        second = owner()
        os.kill(second.pid, signal.SIGSTOP)
        try:
            began = time.monotonic()
            await more()
            await until(lambda: time.monotonic() - began > STOPPED_S, PATIENCE_S)
        finally:
            os.kill(second.pid, signal.SIGCONT)
        await asyncio.to_thread(
            cluster.control.wait_for, lambda: delivers(cluster, second), "the owner again"
        )
        await more()
        await asyncio.to_thread(second.stop)
        left.remove(str(second.settings["server.node_id"]))
        await more()
        watch.stop()
        await watching
        await until(watch.whole, PATIENCE_S)
        assert watch.taken == watch.said, "each once and in order to who drops known ids, and nothing else"
        assert watch.places == sorted(watch.places), "the place never goes back"


def delivers(cluster: Cluster, im: ServerProcess) -> bool:
    found = cluster.ask("GET", "/v1/admin/endpoints/shop")[1]
    return bool(found["known"]) and found["node"] == im.settings["server.node_id"]
