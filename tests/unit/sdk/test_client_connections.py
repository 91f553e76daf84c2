"""A gateway that refuses, moves, falls silent and dies: the client does what the codes say."""

from __future__ import annotations

import asyncio
import random

import pytest
from qianwan import (
    Backoff,
    ClientClosed,
    ConnectFailed,
    ConnectionClosed,
    HandshakeRejected,
    KeySetError,
    Policy,
    State,
    StateChange,
)

from tests.support.qw1_responder import frame, uv
from tests.support.scripted_gateway import KeyRing, ScriptedGateway
from tests.support.sdk_client import client, take, until


def _goaway(code: int, retry_after_ms: int, jitter_ms: int, *addresses: str) -> bytes:
    there = b"".join(uv(len(each)) + each.encode() for each in addresses)
    head = uv(code) + uv(retry_after_ms) + uv(jitter_ms)
    return frame(15, head + bytes([len(addresses)]) + there + b"draining")


async def test_a_goaway_with_addresses_is_followed_there_and_only_once() -> None:
    keys = KeyRing()
    async with ScriptedGateway(keys) as first, ScriptedGateway(keys) as second, client(first) as alice:
        old = next(iter(first.peers))
        old.say(_goaway(3000, 10, 10, "quic://192.0.2.1:1", second.address, "tcp://192.0.2.1:1"))
        await until(lambda: first.goodbyes == [1000])
        assert (first.logins, second.logins) == (1, 1)
        assert (await alice.send("bob", "from the new place")).seq == 1


async def test_where_the_addresses_of_a_goaway_fail_the_known_ones_are_asked_again() -> None:
    keys = KeyRing()
    async with ScriptedGateway(keys) as first, ScriptedGateway(keys) as second, ScriptedGateway(keys) as full:
        full.reject = 4
        async with client(first, where=[first.address, second.address]) as alice:
            next(iter(first.peers)).say(_goaway(3000, 0, 0, full.address))
            await until(lambda: first.goodbyes == [1000])
            assert (len(full.greetings), second.logins) == (1, 1)
            assert (await alice.send("bob", "from the new place")).seq == 1


async def test_the_addresses_hold_also_where_the_old_connection_ends_before_the_move() -> None:
    keys = KeyRing()
    async with ScriptedGateway(keys) as first, ScriptedGateway(keys) as second, client(first) as alice:
        peer = next(iter(first.peers))
        peer.say(_goaway(3000, 60_000, 0, second.address))
        peer.end(3000, "the deadline is over")
        await until(lambda: second.logins == 1)
        await until(lambda: alice.state is State.ONLINE)
        assert first.logins == 1


async def test_who_comes_back_says_that_it_was_here_before() -> None:
    async with ScriptedGateway() as gateway, client(gateway) as alice:
        next(iter(gateway.peers)).end(1000, "")
        await until(lambda: gateway.logins == 2)
        await until(lambda: alice.state is State.ONLINE)
        flags = [greeting[5] & 2 for greeting in gateway.greetings if greeting[6:8] != b"\0\0"]
        assert flags == [0, 2]


async def test_goaway_moves_before_the_old_connection_ends() -> None:
    keys = KeyRing()
    async with ScriptedGateway(keys) as first, ScriptedGateway(keys) as second:
        second.log, second.ids = first.log, first.ids
        where = [first.address, second.address]
        states: list[StateChange] = []
        async with client(first, where=where, on_state=states.append) as alice:
            assert await alice.join_room("lobby")
            old = next(iter(first.peers))
            old.say(_goaway(3000, 10, 10))
            await until(lambda: first.goodbyes == [1000])
            assert [change.state for change in states] == [State.CONNECTING, State.ONLINE, State.ONLINE]
            await until(lambda: ("room.join", {"room": "lobby"}) in second.calls)
            assert (await alice.send("bob", "from the new place")).seq == 1


async def test_a_login_of_ones_own_that_was_not_answered_ends_nobody() -> None:
    """After GOAWAY the server takes the new login and ends the old connection for it (4003), but the answer
    is lost: it was the client itself that replaced the old connection."""
    keys = KeyRing()
    async with ScriptedGateway(keys) as first, ScriptedGateway(keys) as second:

        def lose_the_answer(token: str) -> int:
            second.refuse_login = lambda token: 0
            for peer in list(first.peers):
                peer.end(4003, "superseded")
            return 2002

        second.refuse_login = lose_the_answer
        async with client(first, where=[first.address, second.address]) as alice:
            next(iter(first.peers)).say(_goaway(3000, 10, 10))
            await until(lambda: first.logins + second.logins == 2)
            await until(lambda: alice.state is State.ONLINE)


async def test_another_program_with_the_device_id_ends_the_client_also_after_goaway() -> None:
    async with ScriptedGateway() as gateway, client(gateway) as alice:
        peer = next(iter(gateway.peers))
        peer.say(_goaway(3000, 60_000, 10))
        peer.end(4003, "superseded")
        with pytest.raises(ConnectionClosed, match="4003"):
            await take(alice, 1)


@pytest.mark.parametrize("code", [4001, 4004, 4005])
async def test_a_4000_code_ends_the_client_for_good(code: int) -> None:
    async with ScriptedGateway() as gateway, client(gateway) as alice:
        room = await alice.join_room("lobby")
        gateway.answers = lambda payload: False
        waiting = asyncio.ensure_future(alice.send("bob", "never answered"))
        await until(lambda: len(gateway.ids) == 1)
        next(iter(gateway.peers)).end(code, "because")
        for end in (take(alice, 1), anext(room)):
            with pytest.raises(ConnectionClosed, match="because") as caught:
                await end
            assert caught.value.code == code
        with pytest.raises(ClientClosed):
            await waiting
        with pytest.raises(ClientClosed):
            await alice.send("bob", "too late")
        with pytest.raises(ClientClosed):
            await alice.call("time")
        assert (alice.state, gateway.logins) == (State.CLOSED, 1)


async def test_a_refused_login_is_raised_by_open() -> None:
    async with ScriptedGateway() as gateway:
        gateway.refuse_login = lambda token: 4001
        with pytest.raises(ConnectionClosed, match="4001"):
            await client(gateway).open()


async def test_an_expired_token_is_asked_for_again_once() -> None:
    async with ScriptedGateway() as gateway:
        tokens = iter(["old", "alice", "unused"])

        async def fetch() -> str:
            return next(tokens)

        gateway.refuse_login = lambda token: 4002 if token == "old" else 0
        async with client(gateway, token=fetch) as alice:
            assert alice.user == "alice"
        gateway.refuse_login = lambda token: 4002
        tokens = iter(["old", "older", "unused"])
        with pytest.raises(ConnectionClosed, match="4002"):
            await client(gateway, token=fetch).open()
        assert next(tokens) == "unused"


async def test_keys_are_learnt_from_the_reject_and_must_be_signed_by_the_pinned_root() -> None:
    async with ScriptedGateway() as gateway:
        async with client(gateway):
            assert [greeting[6:8] for greeting in gateway.greetings] == [b"\0\0", b"\0\x07"]
        with pytest.raises(KeySetError):
            await client(gateway, root_key=KeyRing().root_text).open()
        assert gateway.logins == 1


async def test_an_unserved_suite_falls_back_and_a_named_one_does_not() -> None:
    async with ScriptedGateway() as gateway:
        gateway.suites = {2}
        async with client(gateway) as alice:
            assert alice.engine._supervisor.link is not None
            assert alice.engine._supervisor.link.suite == 2
        with pytest.raises(HandshakeRejected, match=r"unsupported \(2\)"):
            await client(gateway, suite="aegis128l").open()


async def test_an_unreachable_gateway_is_an_error_after_the_login_timeout() -> None:
    async with ScriptedGateway() as gateway:
        address = gateway.address
    with pytest.raises(ConnectFailed, match=address):
        await client(gateway, where=address, login_timeout_s=0.3).open()


async def test_an_overloaded_gateway_is_given_its_time() -> None:
    async with ScriptedGateway() as gateway:
        gateway.reject = 4
        states: list[StateChange] = []
        opening = asyncio.ensure_future(client(gateway, on_state=states.append).open())
        await until(lambda: any(change.state is State.WAITING for change in states))
        assert next(c for c in states if c.state is State.WAITING).retry_in_s >= 0.05
        gateway.reject = None
        await opening


async def test_a_silent_server_is_noticed_by_its_missing_pong() -> None:
    async with ScriptedGateway() as gateway:
        gateway.ping_interval_s = 1
        async with client(gateway, "bob", policy=Policy(pong_min_s=0.1, pong_max_s=0.1)) as bob:
            await until(lambda: 1 in gateway.seen)
            gateway.pong = False
            await until(lambda: gateway.logins == 2)
            assert bob.state is State.ONLINE


async def test_delays_between_attempts_come_from_the_injected_chance() -> None:
    delays: list[float] = []

    async def sleep(seconds: float) -> None:
        delays.append(seconds)
        await asyncio.sleep(0)

    async with ScriptedGateway() as gateway:
        gateway.refuse_login = lambda token: 2000 if len(delays) < 6 else 0
        backoff = Backoff(base_s=0.5, cap_s=4.0)
        async with client(gateway, backoff=backoff, rng=random.Random(9), sleep=sleep):
            pass
    assert len(delays) == 6
    assert all(delay <= limit for delay, limit in zip(delays, (0.5, 1, 2, 4, 4, 4), strict=True))
    assert len(set(delays)) == 6


async def test_events_that_cannot_be_read_harm_nothing() -> None:
    async with ScriptedGateway() as gateway, client(gateway) as alice:
        peer = next(iter(gateway.peers))
        for body in (b"\x05", b"\x05\xc1", b"\x02\x93\x01", b"\x02\x01", b"\x03\x80", b"\x04\xc0", b"\x63?"):
            peer.say(frame(7, body))
        peer.say(frame(7, b"\x02\x92\xa5hello\x81\xa1a\x01"))
        assert await anext(alice.notices()) == ("hello", {"a": 1})
        assert gateway.logins == 1


@pytest.mark.parametrize("garbage", [bytes(40), b"\x00\x05hello", b"frame"])
async def test_a_server_that_breaks_the_protocol_is_told_and_left_but_not_for_good(garbage: bytes) -> None:
    async with ScriptedGateway() as gateway, client(gateway) as alice:
        peer = next(iter(gateway.peers))
        if garbage == b"frame":
            peer.say(frame(4, b"a frame for servers"))
        else:
            peer.transport.write(len(garbage).to_bytes(2, "big") + garbage)
        await until(lambda: gateway.logins == 2)
        assert gateway.goodbyes == [4000]
        assert (await alice.send("bob", "after that")).seq == 1
