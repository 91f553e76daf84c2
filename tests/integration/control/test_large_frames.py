"""A small compressed frame that is large raw, from a real client, with the roles joined by NATS: its sender
is refused and nobody else waits, also where the bus carries little.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from qianwan.constants import MAX_BODY, FrameType, RequestCode
from qianwan.protocol import zstd
from qianwan.protocol.messages import decode, encode

from control.bus.base import MIN_PAYLOAD
from tests.integration.control.test_several_processes import Cluster
from tests.support.chat_link import PlainLink
from tests.support.chat_world import root_of
from tests.support.nats_process import NatsProcess
from tests.support.sdk_client import until
from tests.support.server_process import ServerFailed, ServerProcess

NOTICED_S = 1.0
"""What a hole in a stream costs all its users, at least; a message takes some milliseconds."""
LARGE, PACE_S = 30, 0.05
TEXT = random.Random(5).randbytes(12_000).hex()
"""13 kB compressed: half of each letter is empty, and the body repeats it."""
BODY = encode(["large", 0, {"text": (TEXT * 3)[: MAX_BODY - 100]}, None, None])


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    folder = tmp_path_factory.mktemp("large")
    made = Cluster.make(folder, NatsProcess(folder))
    try:
        made.start()
        yield made
    finally:
        made.stop()


async def link(cluster: Cluster, user: str, gateway: int) -> PlainLink:
    token = cluster.control.token(user)
    return await PlainLink.open(cluster.gateways[gateway], token, "d", root_of(cluster.control))


@asynccontextmanager
async def others(cluster: Cluster, name: str) -> AsyncIterator[list[float]]:
    """Two of them, one at each gateway, talk meanwhile: how long each message took to arrive."""
    ann, ben = await link(cluster, f"{name}-ann", 0), await link(cluster, f"{name}-ben", 1)
    took: list[float] = []

    async def talk() -> None:
        for number in range(1 << 30):
            began = time.monotonic()
            answer = await ann.send(f"u/{name}-ben", f"c{number}", "hello")
            assert answer.code == RequestCode.OK, answer.error()
            await until(lambda number=number: len(ben.messages) > number)
            took.append(time.monotonic() - began)
            await asyncio.sleep(PACE_S)

    async with asyncio.TaskGroup() as group:
        talking = group.create_task(talk())
        await until(lambda: len(took) > 3)
        took.clear()
        yield took
        await until(lambda: len(took) > 3)
        talking.cancel()
    ann.close()
    ben.close()


async def refused(cluster: Cluster, user: str) -> set[tuple[int, str]]:
    """What somebody is answered who sends large bodies one after the other: (code, text)."""
    sender = await link(cluster, user, 0)
    asked = []
    for _ in range(LARGE):
        asked.append(sender.link.request(FrameType.SEND, "u/ben", BODY))
        await asyncio.sleep(PACE_S)
    answers = await asyncio.gather(*asked)
    assert sender.link.alive
    sender.close()
    return {(answer.code, decode(answer.payload)[0]) for answer in answers}


async def test_a_frame_that_is_large_raw_costs_its_sender_a_refusal_and_nobody_else_anything(
    cluster: Cluster,
) -> None:
    assert 12_000 < len(zstd.compress(BODY)) < 15_000
    async with others(cluster, "a") as took:
        ((code, _),) = await refused(cluster, "large")
    assert code == RequestCode.INVALID
    assert max(took) < NOTICED_S


async def test_so_does_one_that_the_bus_does_not_carry(cluster: Cluster) -> None:
    """A NATS server that came back with a smaller max_payload: the start was before, so it is measured."""
    cluster.nats.max_payload = 32 << 10
    await asyncio.to_thread(cluster.nats.kill)
    await asyncio.to_thread(cluster.nats.start)
    short = f"carries {32 << 10} bytes a message"
    for process in cluster.all:
        await asyncio.to_thread(
            process.wait_for, lambda p=process: short in p.get("/readyz")[1].decode(), short
        )
    async with others(cluster, "b") as took:
        said = await refused(cluster, "large")
    assert said == {(RequestCode.INVALID, "too large to be passed on to the message service")}
    assert max(took) < NOTICED_S


def test_a_bus_that_carries_less_than_a_frame_is_refused_at_the_start(tmp_path: Path) -> None:
    with NatsProcess(tmp_path, MIN_PAYLOAD - 1) as nats:
        server = ServerProcess(tmp_path / "data", {"bus.kind": "nats", "bus.nats_url": nats.url})
        with pytest.raises(
            ServerFailed, match=f"carries {MIN_PAYLOAD - 1} bytes a message, {MIN_PAYLOAD} are"
        ):
            server.start()
