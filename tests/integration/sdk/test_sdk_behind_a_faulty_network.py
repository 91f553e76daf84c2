"""Sends and receipts through a network that slices, delays and cuts: all arrive, once, in order per
sender.
"""

from __future__ import annotations

import asyncio
import json
import random

import pytest
from qianwan import Backoff, Client, Policy

from tests.support.faulty_proxy import FaultyProxy
from tests.support.sdk_client import take
from tests.support.server_process import ServerProcess

BACKOFF = Backoff(base_s=0.02, cap_s=0.1, settled_s=0.05)
COUNT = 300


def settings(server: ServerProcess, user: str, rng: random.Random) -> dict[str, object]:
    root = json.loads(server.get("/v1/lbs")[1])["root"]
    return {"token": server.token(user), "root_key": root, "backoff": BACKOFF, "rng": rng}


@pytest.mark.parametrize("transport", ["tcp", "ws"])
@pytest.mark.parametrize("seed", [1, 2, 3])
async def test_cuts_lose_and_double_nothing(server: ServerProcess, seed: int, transport: str) -> None:
    rng = random.Random(seed)
    alice, bob = (f"{name}-{seed}-{transport}" for name in ("alice", "bob"))
    faults = {"slice_max": 400, "delay_s": 0.0005, "cut_after": 12_000}
    async with FaultyProxy(*server.gateway, rng, **faults) as proxy:
        one = Client(proxy.address, transport=transport, **settings(server, alice, rng))
        two = Client(proxy.address, transport=transport, **settings(server, bob, rng))
        async with one, two:
            reading = asyncio.ensure_future(take(two, COUNT, 60))
            for number in range(0, COUNT, 20):
                batch = (one.send(bob, str(number + i)) for i in range(20))
                async with asyncio.timeout(60):
                    acks = await asyncio.gather(*batch)
                assert len({ack.seq for ack in acks}) == 20, f"seed {seed}"
            shown = [int(text) for text in await reading]
            assert shown == list(range(COUNT)), f"seed {seed}"
            assert proxy.cuts > 2, f"seed {seed}: the network was too kind"


async def test_bytes_one_at_a_time_are_enough(server: ServerProcess) -> None:
    rng = random.Random(7)
    async with (
        FaultyProxy(*server.gateway, rng, slice_max=1) as proxy,
        Client(proxy.address, **settings(server, "drip", rng)) as me,
    ):
        assert (await me.send("drop", "slowly")).seq == 1


async def test_a_stalled_network_is_noticed_and_left(server: ServerProcess) -> None:
    quick = Policy(pong_min_s=0.2, pong_max_s=0.2)
    rng = random.Random(8)
    async with (
        FaultyProxy(*server.gateway, rng) as proxy,
        Client(proxy.address, **settings(server, "stalled", rng), policy=quick) as me,
    ):
        link = me.engine._supervisor.link
        assert link is not None
        proxy.stalled = True
        link.ping()
        sending = asyncio.ensure_future(me.send("anybody", "through"))
        async with asyncio.timeout(10):
            await asyncio.shield(link.closed)
        proxy.stalled = False
        async with asyncio.timeout(30):
            assert (await sending).seq == 1
