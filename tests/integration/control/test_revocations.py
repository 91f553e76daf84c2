"""A user's tokens are revoked: at every gateway, at the login and for who is logged in, within moments."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
import qianwan
from qianwan import ConnectionClosed, State
from qianwan.constants import CloseCode

from tests.support.chat_world import EAGER, root_of
from tests.support.nats_process import NatsProcess
from tests.support.sdk_client import until
from tests.support.server_process import ServerProcess


class Revocable:
    """Two gateways, an im and a control process on one data folder."""

    def __init__(self, folder: Path, nats: NatsProcess) -> None:
        def process(number: int, roles: str) -> ServerProcess:
            settings = {"bus.kind": "nats", "bus.nats_url": nats.url, "server.node_id": number}
            return ServerProcess(folder, settings, roles)

        self.control, self.im = process(1, "control"), process(2, "im")
        self.gateways = process(3, "gateway"), process(4, "gateway")
        self.all = (self.control, self.im, *self.gateways)

    def client(self, user: str, gateway: int, device: str, token: object = None) -> qianwan.Client:
        host, port = self.gateways[gateway].gateway
        given = {"root_key": root_of(self.control), "backoff": EAGER, "device_id": device}
        return qianwan.Client(f"{host}:{port}", token=token or self.control.token(user), **given)

    def revoke(self, user: str, **more: str) -> int:
        status, answer = self.control.post("/v1/tokens/revoke", {"user": user, **more})
        assert status == 200, answer
        return int(answer["not_before"])


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Revocable]:
    folder = tmp_path_factory.mktemp("revoked")
    with NatsProcess(folder) as nats:
        world = Revocable(folder / "data", nats)
        world.control.start()
        for process in world.all[1:]:
            process.start(wait=False)
        for process in world.all[1:]:
            process.wait_ready()
        yield world
        for process in reversed(world.all):
            process.stop()


async def closed_with(client: qianwan.Client) -> int:
    async with asyncio.timeout(20):
        with pytest.raises(ConnectionClosed) as reason:
            await anext(client.messages())
    return reason.value.code


async def ends_with(client: qianwan.Client) -> int:
    """Refused at the login, or, at a gateway that had not heard of it yet, closed."""
    try:
        await client.open()
    except ConnectionClosed as refused:
        return refused.code
    return await closed_with(client)


async def test_who_is_logged_in_with_one_is_closed_at_every_gateway(running: Revocable) -> None:
    phone, tablet = running.client("alice", 0, "phone"), running.client("alice", 1, "tablet")
    other = running.client("bob", 0, "phone")
    for client in (phone, tablet, other):
        await client.open()
    running.revoke("alice")
    assert await closed_with(phone) == await closed_with(tablet) == CloseCode.TOKEN_EXPIRED
    await other.send("zoe", "still here")
    await other.close()


async def test_a_login_with_one_is_refused_and_the_next_token_is_good_at_once(running: Revocable) -> None:
    old = running.control.token("carol")
    running.revoke("carol")
    new = running.control.token("carol")
    for gateway in (0, 1):
        async with running.client("carol", gateway, "phone", new) as client:
            await client.send("zoe", "back")
        assert await ends_with(running.client("carol", gateway, "phone", old)) == CloseCode.TOKEN_EXPIRED


async def test_of_one_device_the_others_stay(running: Revocable) -> None:
    phone, tablet = running.client("dora", 0, "phone"), running.client("dora", 0, "tablet")
    await phone.open()
    await tablet.open()
    running.revoke("dora", device="phone")
    assert await closed_with(phone) == CloseCode.TOKEN_EXPIRED
    await tablet.send("zoe", "still here")
    await tablet.close()


async def test_a_client_with_a_source_of_tokens_is_back_by_itself(running: Revocable) -> None:
    asked = 0

    async def fresh() -> str:
        nonlocal asked
        asked += 1
        return await asyncio.to_thread(running.control.token, "erin")

    async with running.client("erin", 1, "phone", fresh) as client:
        assert asked == 1
        running.revoke("erin")
        await until(lambda: asked > 1 and client.state is State.ONLINE)
        await client.send("zoe", "back")


def test_bad_requests_are_told(running: Revocable) -> None:
    for body in ({}, {"user": ""}, {"user": "a", "devise": "b"}, {"user": "a", "device": "\n"}):
        status, answer = running.control.post("/v1/tokens/revoke", body)
        assert status == 422, answer
