"""What meets at different times, as real processes over a real NATS server: nobody is deaf for it, and who is
second is refused.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import qianwan

from tests.integration.control.test_several_processes import FAST
from tests.support.nats_process import NatsProcess
from tests.support.sdk_client import until
from tests.support.server_process import ServerProcess

STARTS = int(os.environ.get("QIANWAN_TEST_STARTS", "2"))
USERS = 60
MEMBERS = [f"user{number}" for number in range(USERS)]
QUIET_S = 5.0


class Cluster:
    """An im process that starts again and again, and the gateways that stay."""

    def __init__(self, folder: Path, nats: NatsProcess) -> None:
        self.nats, self.folder = nats, folder
        self.control, self.im = self.process(1, "control"), self.process(2, "im")
        self.gateways = [self.process(3, "gateway"), self.process(4, "gateway")]

    def process(self, number: int, roles: str, **settings: object) -> ServerProcess:
        # A beacon is rarer than everything else here: what needs one to be right is wrong.
        own = FAST | {"bus.nats_url": self.nats.url, "bus.beacon_s": 1.0, "bus.dead_after_s": 6.0}
        return ServerProcess(self.folder / "data", own | {"server.node_id": number} | settings, roles)

    def root(self) -> str:
        self.control.wait_for(lambda: self.control.get("/v1/lbs")[0] == 200, "gateways in LBS")
        return str(json.loads(self.control.get("/v1/lbs")[1])["root"])

    def client(self, user: str, root: str, gateway: ServerProcess) -> qianwan.Client:
        host, port = gateway.gateway
        return qianwan.Client(f"{host}:{port}", token=self.control.token(user), root_key=root, device_id="d")


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    nats = NatsProcess(tmp_path)
    made = Cluster(tmp_path, nats)
    everyone = [made.control, made.im, *made.gateways]
    try:
        nats.start()
        made.control.start()
        for process in made.gateways:
            process.start(wait=False)
        yield made
    except BaseException:
        for process in everyone:
            print(f"--- {process.roles} {process.http_port}\n{process.tail(30)}")
        raise
    finally:
        for process in everyone:
            process.stop()
        nats.kill()


async def hears(client: qianwan.Client, text: str) -> bool:
    try:
        async with asyncio.timeout(QUIET_S):
            async for message in client.messages():
                if message.text == text:
                    return True
    except TimeoutError:
        pass
    return False


async def hears_in(room: qianwan.Room, text: str) -> bool:
    try:
        async with asyncio.timeout(QUIET_S):
            async for message in room:
                if message.text == text:
                    return True
    except TimeoutError:
        pass
    return False


async def is_sent_away(client: qianwan.Client) -> bool:
    try:
        await until(lambda: client.state is qianwan.State.CLOSED, QUIET_S)
    except TimeoutError:
        return False
    return True


async def come_in(client: qianwan.Client, room: str) -> qianwan.Room:
    await client.open()
    while True:
        try:
            return await client.join_room(room)
        except (qianwan.RequestError, qianwan.RequestTimeout):
            await asyncio.sleep(0.1)


async def test_nobody_who_logs_in_around_the_start_of_an_im_process_is_deaf(cluster: Cluster) -> None:
    root = await asyncio.to_thread(cluster.root)
    await asyncio.to_thread(cluster.im.start)
    body = {"name": "all", "members": MEMBERS[1:], "owner": MEMBERS[0]}
    status, answer = await asyncio.to_thread(cluster.control.post, "/v1/groups", body)
    assert status < 300, answer
    deaf = []
    for start in range(STARTS):
        await asyncio.to_thread(cluster.control.room, f"hall{start}")
        clients = [
            cluster.client(user, root, cluster.gateways[number % 2]) for number, user in enumerate(MEMBERS)
        ]
        await asyncio.to_thread(cluster.im.kill)
        try:
            starting = asyncio.create_task(asyncio.to_thread(cluster.im.start))
            coming = []
            for client in clients:  # some before it is there, some while it comes, some after
                coming.append(asyncio.create_task(come_in(client, f"hall{start}")))
                await asyncio.sleep(0.05)
            await starting
            deaf.append(await deaf_of(cluster, answer["group"], clients, await asyncio.gather(*coming)))
        finally:
            await asyncio.gather(*(client.close() for client in clients))
    assert deaf == [(0, 0, 0)] * STARTS, "deaf in the group, in the room, to kicks"


async def deaf_of(
    cluster: Cluster, group: str, clients: list[qianwan.Client], rooms: list[qianwan.Room]
) -> tuple[int, int, int]:
    # Hints after a start send everybody to the store and hide who is deaf: they are over first.
    await asyncio.sleep(2 * FAST["bus.sync_spread_s"] + 1)
    body = {"sender": MEMBERS[0], "target": f"g/{group}", "body": {"text": "to all"}}
    status, answer = await asyncio.to_thread(cluster.control.post, "/v1/messages", body)
    assert status == 200, answer
    await rooms[0].send("to the room")
    in_group = await asyncio.gather(*(hears(client, "to all") for client in clients[1:]))
    in_room = await asyncio.gather(*(hears_in(room, "to the room") for room in rooms[1:]))
    for user in MEMBERS:
        await asyncio.to_thread(cluster.control.post, f"/v1/users/{user}/kick", {"reason": 1})
    kicked = await asyncio.gather(*map(is_sent_away, clients))
    return in_group.count(False), in_room.count(False), kicked.count(False)


async def test_a_taken_node_id_is_refused_and_its_holder_goes_on(cluster: Cluster) -> None:
    await asyncio.to_thread(cluster.im.start)
    root = await asyncio.to_thread(cluster.root)
    async with cluster.client("ann", root, cluster.gateways[0]) as ann:
        second = cluster.process(3, "gateway")
        refused = await asyncio.to_thread(ends, second)
        assert refused[-1].startswith("cannot start: node id 3 is taken by")
        status, _ = await asyncio.to_thread(
            cluster.control.post, "/v1/messages", {"sender": "shop", "target": "u/ann", "body": {"text": "x"}}
        )
        assert (status, await hears(ann, "x")) == (200, True)
        await asyncio.to_thread(cluster.control.room, "hall")
        room = await ann.join_room("hall")
        await room.send("y")
        assert (await ann.call("devices"))["devices"][0]["online"]


def test_a_second_server_on_a_data_folder_is_refused(tmp_path: Path) -> None:
    with ServerProcess(tmp_path) as first:
        second = ServerProcess(tmp_path)
        said = ends(second)[-1]
        assert said.startswith("cannot start: data folder ")
        assert f"is used by another server (process {first.pid})" in said
        assert first.get("/readyz")[0] == 200
    second.start()
    second.stop()


def ends(process: ServerProcess) -> list[str]:
    """The lines of a start that is refused."""
    process.start(wait=False)
    assert process.process is not None
    assert process.process.wait(60) != 0
    process.process = None
    return process.tail(10).splitlines()
