"""Reaching a gateway: the race, the LBS and its fallbacks, what is believed on the way."""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from qianwan.connection.dial import Dialer, DialSettings
from qianwan.errors import ConnectFailed, KeySetError
from qianwan.light import _Deaf
from qianwan.protocol.keyset import encode_base64url
from qianwan.transport import Address

from tests.support.lbs_server import Lbs
from tests.support.scripted_gateway import KeyRing, ScriptedGateway


def dialer(**settings: Any) -> Dialer:
    return Dialer(DialSettings(**settings), device="d", rng=random.Random(1), clock=time.monotonic)


@contextlib.asynccontextmanager
async def black_hole() -> AsyncIterator[Address]:
    """Takes connections and never says a word."""
    gone = asyncio.Event()

    async def swallow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while await reader.read(1000):
                pass
        gone.set()
        writer.close()

    server = await asyncio.start_server(swallow, "127.0.0.1", 0)
    try:
        yield Address("tcp", "127.0.0.1", server.sockets[0].getsockname()[1])
        async with asyncio.timeout(5):
            await gone.wait()  # the loser of a race is closed
    finally:
        server.close()


@pytest.fixture
def lbs() -> Iterator[Lbs]:
    running = Lbs()
    yield running
    running.stop()


async def test_the_second_gateway_wins_when_the_first_is_silent() -> None:
    async with ScriptedGateway() as gateway, black_hole() as silent:
        places = (silent, Address.parse(gateway.address))
        link = await dialer(addresses=places, root_key=gateway.keys.root_text, stagger_s=0.05).connect(
            _Deaf(), "token"
        )
        assert link.address == places[1]
        link.abort()


async def test_a_refused_connection_starts_the_next_at_once() -> None:
    async with ScriptedGateway() as gateway:
        async with ScriptedGateway() as closed:
            dead = Address.parse(closed.address)
        places = (dead, dead, dead, dead, Address.parse(gateway.address))
        started = asyncio.get_running_loop().time()
        link = await dialer(addresses=places, root_key=gateway.keys.root_text, stagger_s=60).connect(
            _Deaf(), "token"
        )
        assert asyncio.get_running_loop().time() - started < 30
        link.abort()


async def test_a_silent_gateway_costs_one_attempt_and_no_more() -> None:
    async with black_hole() as silent:
        with pytest.raises(ConnectFailed, match="TimeoutError"):
            await dialer(addresses=(silent,), root_key=KeyRing().root_text, attempt_s=0.1).connect(
                _Deaf(), "t"
            )


async def test_lbs_gives_keys_so_nothing_is_rejected(lbs: Lbs) -> None:
    async with ScriptedGateway() as gateway:
        lbs.point_to(gateway.keys, gateway.port, suites=[2, 1])
        one = dialer(lbs_urls=(lbs.url,))
        link = await one.connect(_Deaf(), "e30.eyJzdWIiOiJhbGljZSJ9.sig")
        assert (len(gateway.greetings), link.suite) == (1, 2)
        assert lbs.asked == ["/v1/lbs?user=alice&device=d"]
        link.abort()
        (await one.connect(_Deaf(), "t")).abort()
        assert len(lbs.asked) == 1
        (await one.connect(_Deaf(), "t", elsewhere=True)).abort()
        assert len(lbs.asked) == 2


async def test_fallbacks_backup_lbs_then_cache_then_built_in(lbs: Lbs) -> None:
    async with ScriptedGateway() as gateway:
        lbs.point_to(gateway.keys, gateway.port)
        one = dialer(lbs_urls=("http://127.0.0.1:1", lbs.url), root_key=gateway.keys.root_text)
        (await one.connect(_Deaf(), "t")).abort()
        lbs.keys = None
        (await one.connect(_Deaf(), "t", elsewhere=True)).abort()
        built_in = (Address.parse(gateway.address),)
        fresh = dialer(lbs_urls=(lbs.url,), addresses=built_in, root_key=gateway.keys.root_text)
        (await fresh.connect(_Deaf(), "t")).abort()
        with pytest.raises(ConnectFailed, match="503"):
            await dialer(lbs_urls=(lbs.url,)).connect(_Deaf(), "t")


async def test_an_lbs_with_foreign_keys_is_not_believed(lbs: Lbs) -> None:
    async with ScriptedGateway() as gateway:
        lbs.point_to(KeyRing(), gateway.port)
        with pytest.raises(KeySetError, match="not signed by the pinned root"):
            await dialer(lbs_urls=(lbs.url,), root_key=gateway.keys.root_text).connect(_Deaf(), "t")


async def test_an_older_key_set_never_replaces_a_newer_one() -> None:
    async with ScriptedGateway() as gateway:
        one = dialer(addresses=(Address.parse(gateway.address),), root_key=gateway.keys.root_text)
        (await one.connect(_Deaf(), "t")).abort()
        known = one.server_key()
        gateway.keys.key_id = 8
        old = gateway.keys.key_set(issued=1)
        one.remember_keys(encode_base64url(old))
        assert one.server_key() == known
        (await one.connect(_Deaf(), "t")).abort()  # the REJECT brings a newer one
        assert one.server_key().key_id == 8


def test_addresses_without_a_root_are_refused() -> None:
    with pytest.raises(KeySetError, match="root key"):
        dialer(addresses=(Address.parse("127.0.0.1"),))
