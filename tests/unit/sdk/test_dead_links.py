"""A connection that is dead in one or both directions is noticed, however busy its ends are."""

from __future__ import annotations

import asyncio

from qianwan import Policy

from tests.support.qw1_responder import frame
from tests.support.scripted_gateway import ScriptedGateway, pack
from tests.support.sdk_client import client, until

FAST = Policy(pong_min_s=0.1, pong_max_s=0.1)


async def test_a_busy_sender_on_a_dead_connection_notices_within_two_pong_timeouts() -> None:
    async with ScriptedGateway() as gateway, client(gateway, policy=FAST) as alice:
        gateway.deaf = True
        sends = []
        async with asyncio.timeout(5):
            while alice.engine._supervisor.link is not None:
                sends.append(asyncio.ensure_future(alice.send(f"bob{len(sends)}", "busy")))
                await asyncio.sleep(0.01)
        gateway.deaf = False
        assert {ack.seq for ack in await asyncio.gather(*sends)} == {1}
        assert gateway.logins == 2


async def test_a_connection_that_only_speaks_is_noticed_too() -> None:
    """Dead towards the server, alive towards the client: reading alone proves nothing."""
    async with ScriptedGateway() as gateway, client(gateway, policy=FAST) as alice:
        peer = next(iter(gateway.peers))
        gateway.deaf = True
        sending = asyncio.ensure_future(alice.send("bob", "into nothing"))
        async with asyncio.timeout(5):
            while alice.engine._supervisor.link is not None:
                peer.say(frame(7, b"\x02" + pack(["noise", {}])))
                await asyncio.sleep(0.01)
        gateway.deaf = False
        assert (await sending).seq == 1


async def test_a_slow_answer_on_a_live_connection_ends_nothing() -> None:
    async with ScriptedGateway() as gateway, client(gateway, policy=FAST) as alice:
        gateway.answers = lambda payload: False
        sending = asyncio.ensure_future(alice.send("bob", "slowly"))
        await until(lambda: gateway.seen.count(1) >= 3)  # asked again and again, answered each time
        gateway.answers = lambda payload: True
        await until(lambda: len(gateway.sends) == 1)
        assert gateway.logins == 1
        sending.cancel()


async def test_nothing_spins_while_a_dead_connection_is_being_replaced() -> None:
    """After GOAWAY the old connection dies while a new one is waited for: calls wait too."""
    released = asyncio.Event()

    async def sleep(seconds: float) -> None:
        await (released.wait() if seconds else asyncio.sleep(0))

    async with ScriptedGateway() as gateway, client(gateway, sleep=sleep, policy=FAST) as alice:
        gateway.reject = 4
        peer = next(iter(gateway.peers))
        peer.say(frame(15, b"\xb8\x17\x00\x00\x00moving"))
        await until(lambda: len(gateway.greetings) == 3)
        peer.transport.abort()
        await until(lambda: alice.engine._link is None)
        calling = asyncio.ensure_future(alice.call("time"))
        gateway.reject = None
        released.set()
        assert await calling == {}
