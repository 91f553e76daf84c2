"""Connections are cut while people talk: their clients take the sessions up again, nothing is lost, nothing
is doubled, and neither a sync nor a row of the store is asked for."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from typing import Any

import pytest
from qianwan import Backoff, Client

from control.keys.server_keys import ServerKeys
from tests.support.faulty_proxy import FaultyProxy
from tests.support.sdk_client import take, until
from tests.support.server_process import ServerProcess

FAST = Backoff(base_s=0.05, cap_s=0.2, settled_s=0.0)
SETTINGS = {"gateway.loops": 2, "im.service.group_consent": "free"}
PEOPLE = 200
GROUP = 40
SAID = 12
LOGINS = "qianwan_node_logins_total"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    with ServerProcess(tmp_path_factory.mktemp("resume"), SETTINGS) as made:
        yield made


@pytest.fixture
async def proxy(server: ServerProcess) -> AsyncIterator[FaultyProxy]:
    async with FaultyProxy(*server.gateway, random.Random(1)) as made:
        yield made


class Calls:
    """The methods that a client called."""

    def __init__(self, one: Client) -> None:
        self.made: Counter[str] = Counter()
        engine, real = one._engine, one._engine._call_now

        async def counted(method: str, args: dict[str, Any]) -> bytes:
            self.made[method] += 1
            return await real(method, args)

        engine._call_now = engine.feed._call = counted


def client(server: ServerProcess, where: str, user: str) -> Client:
    root = ServerKeys.load(server.data_dir / "keys").root.text
    return Client(where, token=server.token(user), root_key=root, backoff=FAST, device_id=f"d-{user}")


def direct(server: ServerProcess) -> str:
    return f"127.0.0.1:{server.gateway_port}"


def resumed(one: Client) -> int:
    return one._engine._supervisor.resumption.resumed


async def has_ticket(one: Client) -> None:
    await until(lambda: one._engine._link is not None and one._engine._link.ticket is not None)


async def test_what_was_said_meanwhile_comes_without_a_login_and_without_a_sync(
    server: ServerProcess, proxy: FaultyProxy
) -> None:
    async with client(server, proxy.address, "ann") as ann, client(server, direct(server), "bob") as bob:
        await bob.send("ann", "one")
        assert await take(ann, 1) == ["one"]
        await has_ticket(ann)
        calls = Calls(ann)
        proxy.refusing = True
        proxy.cut()
        await bob.send("ann", "two")
        await bob.send("ann", "three")
        proxy.refusing = False
        assert await take(ann, 2) == ["two", "three"]
        assert (resumed(ann), calls.made["sync"], calls.made["pull"]) == (1, 0, 0)
        assert (await ann.send("bob", "four")).seq == 4
        assert await take(bob, 1) == ["four"]


async def test_who_was_away_never_reads_what_was_taken_back_meanwhile(
    server: ServerProcess, proxy: FaultyProxy
) -> None:
    async with client(server, proxy.address, "amy") as amy, client(server, direct(server), "ben") as ben:
        await ben.send("amy", "one")
        assert await take(amy, 1) == ["one"]
        await has_ticket(amy)
        proxy.refusing = True
        proxy.cut()
        regret = await ben.send("amy", "regret")
        await ben.recall("s/amy:ben", regret.seq)
        await ben.send("amy", "two")
        proxy.refusing = False
        assert await take(amy, 3) == ["", "", "two"]  # a tombstone, and what is said of it
        assert resumed(amy) == 0


async def test_two_hundred_people_lose_their_connections_and_nothing_else(server: ServerProcess) -> None:
    """Pairs and a group talk while all connections are reset again and again, in two halves."""
    before = server.metrics()
    async with AsyncExitStack() as stack:
        halves = [
            await stack.enter_async_context(FaultyProxy(*server.gateway, random.Random(n))) for n in range(2)
        ]
        people = [client(server, halves[n % 2].address, f"p{n}") for n in range(PEOPLE)]
        for start in range(0, PEOPLE, 20):
            await asyncio.gather(*(stack.enter_async_context(one) for one in people[start : start + 20]))
        made = await people[0].groups.create("crew", members=[f"p{n}" for n in range(1, GROUP)])
        group = made["group"]
        await asyncio.gather(*map(has_ticket, people))
        heard: list[list[str]] = [[] for _ in people]
        reading = [asyncio.create_task(read(one, into)) for one, into in zip(people, heard, strict=True)]
        # What a client hears first of a conversation it asks a sync for.
        await asyncio.gather(*(people[n].send(f"p{n ^ 1}", f"s{n} ..") for n in range(PEOPLE)))
        await until(
            lambda: all(map(settled, people)) and all(f"s{n ^ 1} .." in heard[n] for n in range(PEOPLE))
        )
        calls = [Calls(one) for one in people]
        talking = [asyncio.create_task(talk(people, n, group)) for n in range(PEOPLE)]
        for turn in range(6):
            await asyncio.sleep(0.25)
            halves[turn % 2].cut()
        await asyncio.gather(*talking)
        expected = [told(n) for n in range(PEOPLE)]
        await until(lambda: all(len(got) >= len(want) for got, want in zip(heard, expected, strict=True)), 30)
        await asyncio.sleep(0.3)  # for what would come twice
        assert [sorted(got) for got in heard] == [sorted(want) for want in expected]
        for got in heard:
            for speaker in {text.split()[0] for text in got}:
                said = [text for text in got if text.split()[0] == speaker]
                assert said == sorted(said), "in the order of the one who said it"
        assert sum(one.made["sync"] for one in calls) == 0
        assert min(map(resumed, people)) >= 1
        for task in reading:
            task.cancel()
    after = server.metrics()
    assert after[LOGINS] - before[LOGINS] == PEOPLE, "once each"


def settled(one: Client) -> bool:
    feed = one._engine.feed
    return not feed._behind and not feed._inbox.unknown()


async def read(one: Client, into: list[str]) -> None:
    async for message in one.messages():
        into += [message.text] if message.text else []  # no notification of the group


async def talk(people: list[Client], number: int, group: str) -> None:
    """To the neighbour, and some to the group."""
    for turn in range(SAID):
        await people[number].send(f"p{number ^ 1}", f"s{number} {turn:02}")
        if number < 4:
            await people[number].send_group(group, f"g{number} {turn:02}")
        await asyncio.sleep(0.1)


def told(number: int) -> list[str]:
    """All that this one hears."""
    texts = [f"s{number ^ 1} ..", *(f"s{number ^ 1} {turn:02}" for turn in range(SAID))]
    if number < GROUP:
        texts += [
            f"g{speaker} {turn:02}" for speaker in range(4) for turn in range(SAID) if speaker != number
        ]
    return texts


async def test_a_node_that_began_anew_says_so_and_takes_the_ticket_for_a_login(
    server: ServerProcess, proxy: FaultyProxy
) -> None:
    async with client(server, proxy.address, "eve") as eve:
        await has_ticket(eve)
        proxy.refusing = True
        server.kill()
        server.start()
        proxy.refusing = False
        assert (await eve.send("bob", "after the restart")).seq
        assert resumed(eve) == 0
        metrics = server.metrics()
        assert metrics["qianwan_gateway_resume_epoch_total"] == 1
        assert metrics["qianwan_gateway_ticket_logins_total"] == 1
