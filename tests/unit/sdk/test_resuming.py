"""A client whose connection was lost takes its session up again with the newest ticket, and goes back to its
token wherever that fails."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from qianwan.connection.policy import Policy
from qianwan.connection.resumption import SILENT, Login, Resumption
from qianwan.errors import ProtocolError
from qianwan.protocol import noise, tickets
from qianwan.protocol.auth import Credentials, Welcome
from qianwan.protocol.tickets import Offer, Ticket

from tests.support.qw1_responder import frame, uv
from tests.support.scripted_gateway import Peer, ScriptedGateway, pack
from tests.support.sdk_client import client, take, until

VECTORS = json.loads(Path("tests/conformance/noise/vectors/qw1.json").read_text())["vectors"]
WITH_PSK = [vector for vector in VECTORS if "psk0" in vector["protocol_name"]]


@pytest.fixture
async def gateway() -> AsyncIterator[ScriptedGateway]:
    async with ScriptedGateway() as made:
        made.tickets.open = True
        yield made


def only(gateway: ScriptedGateway, user: str = "alice") -> Peer:
    return next(peer for peer in gateway.peers if peer.user == user)


async def cut(gateway: ScriptedGateway) -> None:
    peer = only(gateway)
    peer.transport.abort()
    await until(lambda: peer not in gateway.peers)


def said(gateway: ScriptedGateway, text: str) -> None:
    gateway.deliver("alice", gateway.store("s/alice:bob", "bob", text))


@pytest.mark.parametrize(
    "vector", WITH_PSK, ids=lambda vector: f"{vector['protocol_name']}-{vector['suite']}"
)
def test_the_psk_handshakes_are_those_of_the_vectors(vector: dict[str, Any]) -> None:
    def of(name: str) -> bytes:
        return bytes.fromhex(vector[name])

    known = of("init_remote_static") if "init_remote_static" in vector else None
    psk = bytes.fromhex(vector["init_psks"][0])
    made = noise.Initiator(vector["suite"], of("init_prologue"), known, of("init_ephemeral"), psk=psk)
    first, second = vector["messages"][:2]
    assert made.start(bytes.fromhex(first["payload"])).hex() == first["ciphertext"]
    payload, _, _, handshake_hash = made.finish(bytes.fromhex(second["ciphertext"]))
    assert (payload.hex(), handshake_hash) == (second["payload"], of("handshake_hash"))


@pytest.mark.parametrize("early", [False, True])
async def test_what_was_missed_comes_once_and_in_order_without_a_login_or_a_sync(
    gateway: ScriptedGateway, early: bool
) -> None:
    gateway.tickets.early = early
    async with client(gateway) as alice:
        said(gateway, "before")
        assert await take(alice, 1) == ["before"]
        await until(lambda: [method for method, _ in gateway.calls].count("sync") == 1)
        asked = [method for method, _ in gateway.calls].count("sync")
        await cut(gateway)
        for text in ("one", "two", "three"):
            said(gateway, text)
        assert await take(alice, 3) == ["one", "two", "three"]
        said(gateway, "after")
        assert await take(alice, 1) == ["after"]
        assert gateway.tickets.resumes == [1]
        assert gateway.logins == 1
        assert [method for method, _ in gateway.calls].count("sync") == asked


async def test_a_session_goes_on_over_many_connections_and_counts_on(gateway: ScriptedGateway) -> None:
    async with client(gateway) as alice:
        for number in range(4):
            said(gateway, f"m{number}")
            assert await take(alice, 1) == [f"m{number}"]
            await cut(gateway)
        await until(lambda: len(gateway.tickets.resumes) == 4)
        assert gateway.tickets.resumes == [1, 2, 3, 4]
        assert (await alice.send("bob", "still here")).seq
        assert gateway.logins == 1


async def test_sends_without_an_answer_go_out_again_in_their_order(gateway: ScriptedGateway) -> None:
    gateway.answers = lambda payload: False
    async with client(gateway) as alice:
        waits = [asyncio.create_task(alice.send("bob", text)) for text in ("a", "b", "c")]
        await until(lambda: [text for _, text in gateway.sends] == ["a"])
        gateway.answers = lambda payload: True
        await cut(gateway)
        assert [(await wait).seq for wait in waits] == [1, 2, 3]
        assert [text for _, text in gateway.sends] == ["a", "a", "b", "c"]
        assert (len(gateway.log["s/alice:bob"]), gateway.logins) == (3, 1)


@pytest.mark.parametrize(("reason", "by_ticket"), [(1, 1), (2, 1), (3, 1), (4, 0), (5, 1), (77, 1)])
async def test_a_session_that_is_gone_becomes_a_login_on_the_same_connection(
    gateway: ScriptedGateway, reason: int, by_ticket: int
) -> None:
    async with client(gateway) as alice:
        gateway.tickets.reason = reason
        said(gateway, "before")
        await take(alice, 1)
        greetings = len(gateway.greetings)
        await cut(gateway)
        gateway.store("s/alice:bob", "bob", "missed")
        assert await take(alice, 1) == ["missed"]
        assert (gateway.logins, gateway.tickets.logins) == (2, by_ticket)
        assert len(gateway.greetings) == greetings + 1


async def test_a_ticket_that_nobody_opens_is_forgotten_for_the_token(gateway: ScriptedGateway) -> None:
    async with client(gateway) as alice:
        gateway.tickets.of.clear()
        await cut(gateway)
        await until(lambda: gateway.logins == 2)
        assert [greeting[3] for greeting in gateway.greetings[-2:]] == [2, 1]
        assert (await alice.send("bob", "hello")).seq == 1


async def test_the_light_handshake_is_used_where_the_server_asks_for_it(gateway: ScriptedGateway) -> None:
    async with client(gateway):
        gateway.tickets.lite = True
        await cut(gateway)
        await until(lambda: gateway.tickets.resumes == [0])
        assert [greeting[3] for greeting in gateway.greetings[-2:]] == [2, 3]


async def test_rights_that_were_taken_back_need_a_token_and_end_nobody(gateway: ScriptedGateway) -> None:
    async with client(gateway) as alice:
        gateway.tickets.reason, gateway.tickets.refuse_auth = 3, 4002
        await cut(gateway)
        await until(lambda: gateway.logins == 2)
        assert (await alice.send("bob", "hello")).seq == 1
        assert gateway.tickets.logins == 1


async def test_after_another_close_than_1001_only_a_login_is_wanted(gateway: ScriptedGateway) -> None:
    async with client(gateway):
        only(gateway).end(2001, "slow")
        await until(lambda: gateway.logins == 2)
        assert (gateway.tickets.resumes, gateway.tickets.logins) == ([], 1)
        only(gateway).end(1001, "idle")
        await until(lambda: gateway.tickets.resumes == [0])


def test_when_nobody_answers_a_ticket_the_token_is_tried_in_between() -> None:
    resumption = Resumption()
    resumption.began(Login(Credentials("token", "d"), Welcome(b"12345678", "alice", 0, 0, 0, "")))
    resumption._ticket = Ticket(bytes(32), b"ticket", 60, 100.0)
    for _ in range(3):
        for _ in range(SILENT):
            assert resumption.offer(101.0) is not None
            resumption.silent()
        assert resumption.offer(101.0) is None
        resumption.silent()


def test_a_ticket_is_over_at_its_time() -> None:
    ticket = Ticket(bytes(32), b"ticket", 60, 100.0)
    assert [ticket.over(100.0 + s) for s in (0, 59.9, 60, 1000)] == [False, False, True, True]
    assert Offer(ticket, 300).payload(100.5) == bytes.fromhex("0102ac02 0202f403")
    assert Offer(ticket, None).payload(100.5) == bytes.fromhex("0202f403")


@pytest.mark.parametrize("rest", [b"", bytes(32), bytes(33), bytes(32) + b"\x02a", bytes(32) + b"\x01ab"])
def test_a_ticket_that_is_cut_off_breaks_the_protocol(rest: bytes) -> None:
    with pytest.raises(ProtocolError):
        tickets.parse_ticket(b"\x0a" + rest, 0.0)


async def test_a_server_that_goes_on_at_another_message_breaks_the_protocol(gateway: ScriptedGateway) -> None:
    async with client(gateway):
        gateway.tickets.wrong = frame(19, b"\x05\x04\x00")
        await cut(gateway)
        await until(lambda: 4000 in gateway.goodbyes)


async def test_where_the_policy_is_against_it_no_ticket_is_kept_and_the_token_logs_in(
    gateway: ScriptedGateway,
) -> None:
    async with client(gateway, policy=Policy(resume=False)) as alice:
        said(gateway, "before")
        assert await take(alice, 1) == ["before"]
        supervisor = alice.engine._supervisor
        assert supervisor.link is not None
        assert supervisor.link.ticket is None
        await cut(gateway)
        gateway.store("s/alice:bob", "bob", "missed")
        assert await take(alice, 1) == ["missed"]
        assert (gateway.tickets.resumes, gateway.tickets.logins, gateway.logins) == ([], 0, 2)
        assert {greeting[3] for greeting in gateway.greetings} == {1}
        assert gateway.extras == 2 * [pack({"tickets": False})]  # so that its sessions are not waited for


async def test_a_server_may_switch_it_off_and_on(gateway: ScriptedGateway) -> None:
    async with client(gateway) as alice:
        supervisor = alice.engine._supervisor
        await until(lambda: supervisor.link is not None and supervisor.link.ticket is not None)
        only(gateway).say(frame(12, pack({"rev": 1, "resume": False})))
        await until(lambda: supervisor.link is not None and supervisor.link.ticket is None)
        await cut(gateway)
        await until(lambda: gateway.logins == 2)
        assert gateway.greetings[-1][3] == 1
        only(gateway).say(frame(12, pack({"rev": 2, "resume": True})))
        await until(lambda: alice.engine.steering.vitals.policy.rev == 2)
        only(gateway).say(gateway.tickets.give(only(gateway).kept))
        await until(lambda: supervisor.link is not None and supervisor.link.ticket is not None)
        await cut(gateway)
        await until(lambda: gateway.tickets.resumes == [0])
        assert gateway.logins == 2


async def test_who_is_sent_away_logs_in_by_ticket_while_the_old_connection_stands(
    gateway: ScriptedGateway,
) -> None:
    """The living session is left alone: it delivers until the login ends it."""
    async with client(gateway) as alice:
        supervisor = alice.engine._supervisor
        await until(lambda: supervisor.link is not None and supervisor.link.ticket is not None)
        only(gateway).say(frame(15, uv(0) + uv(0) + uv(0) + uv(0)))
        await until(lambda: gateway.logins == 2)
        assert (gateway.tickets.resumes, gateway.tickets.logins) == ([], 1)
        said(gateway, "after")
        assert await take(alice, 1) == ["after"]
